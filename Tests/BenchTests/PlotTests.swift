import Bench
import Foundation
#if canImport(FoundationXML)
    import FoundationXML
#endif
import Testing

@Suite struct PlotTests {
    private static func plot(_ points: [(x: Double, y: Double)], logarithmic: Bool = true) -> String {
        Plot(
            title: "a < b & c", x: Plot.Axis("rows", isLogarithmic: logarithmic),
            y: Plot.Axis("ms", isLogarithmic: logarithmic),
            series: [Plot.Series("step", points), Plot.Series("floor", points, isLimit: true)]
        ).svg
    }

    private static func points(_ svg: String) throws -> [[Double]] {
        let line = try #require(svg.split(separator: "\n").first { $0.hasPrefix("<polyline") })
        let list = try #require(line.split(separator: "points=\"").last?.split(separator: "\"").first)
        return list.split(separator: " ").map { $0.split(separator: ",").compactMap { Double($0) } }
    }

    @Test func equalRatiosAreEqualDistancesOnALogarithmicAxis() throws {
        let points = try Self.points(Self.plot([(1, 10), (4, 100), (16, 1000)]))
        #expect(points.count == 3)
        #expect(abs((points[1][0] - points[0][0]) - (points[2][0] - points[1][0])) <= 0.11)
        #expect(abs((points[1][1] - points[0][1]) - (points[2][1] - points[1][1])) <= 0.11)
        // Up is less in SVG.
        #expect(points[2][1] < points[0][1])
    }

    @Test func aPlainAxisBeginsAtZero() throws {
        let points = try Self.points(Self.plot([(5, 0), (10, 1)], logarithmic: false))
        // Half of the axis lies before the first point.
        let left = 72.0
        #expect(abs((points[0][0] - left) - (points[1][0] - points[0][0])) <= 0.11)
    }

    @Test(arguments: [[(1.0, 1.0)], [], [(2.0, 5.0), (2.0, 5.0)]])
    func fewPointsStillMakeAWholeDrawing(_ points: [(Double, Double)]) {
        let svg = Self.plot(points.map { (x: $0.0, y: $0.1) })
        #expect(svg.hasSuffix("</svg>\n") && !svg.contains("nan") && !svg.contains("inf"))
    }

    @Test func textIsEscapedAndWellFormed() throws {
        let svg = Self.plot([(1, 1), (2, 3)])
        #expect(svg.contains("a &lt; b &amp; c"))
        let parser = XMLParser(data: Data(svg.utf8))
        #expect(parser.parse(), "\(String(describing: parser.parserError))")
    }
}
