import Foundation

/// Lines over logarithmic or plain axes, as SVG that any browser shows. No axis begins at 0 where it is logarithmic.
package struct Plot: Sendable {
    package struct Series: Sendable {
        package var name: String
        package var points: [(x: Double, y: Double)]
        /// Drawn as a limit: dashed, without marks.
        package var isLimit: Bool

        package init(_ name: String, _ points: [(x: Double, y: Double)], isLimit: Bool = false) {
            self.name = name
            self.points = points
            self.isLimit = isLimit
        }
    }

    package struct Axis: Sendable {
        package var label: String
        package var isLogarithmic: Bool

        package init(_ label: String, isLogarithmic: Bool = true) {
            self.label = label
            self.isLogarithmic = isLogarithmic
        }
    }

    package var title: String
    package var x: Axis
    package var y: Axis
    package var series: [Series]

    private static let size = (width: 760.0, height: 440.0)
    private static let margin = (left: 72.0, right: 200.0, top: 40.0, bottom: 52.0)
    private static let colors = [
        "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22",
    ]

    package init(title: String, x: Axis, y: Axis, series: [Series]) {
        self.title = title
        self.x = x
        self.y = y
        self.series = series
    }

    package var svg: String {
        let xs = Scale(x, series.flatMap { $0.points.map(\.x) }, from: Self.margin.left, to: Self.right)
        let ys = Scale(y, series.flatMap { $0.points.map(\.y) }, from: Self.bottom, to: Self.margin.top)
        let (width, height) = (Int(Self.size.width), Int(Self.size.height))
        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
                + "viewBox=\"0 0 \(width) \(height)\" font-family=\"sans-serif\" font-size=\"12\">",
            "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
            Self.text(title, Self.margin.left, 22, "font-size=\"15\""),
        ]
        lines += grid(xs, ys)
        for (index, series) in series.enumerated() { lines += draw(series, index, xs, ys) }
        lines.append("</svg>")
        return lines.joined(separator: "\n") + "\n"
    }

    private static var right: Double { size.width - margin.right }
    private static var bottom: Double { size.height - margin.bottom }

    private func grid(_ xs: Scale, _ ys: Scale) -> [String] {
        var lines: [String] = []
        for tick in xs.ticks {
            let at = xs.place(tick)
            lines.append(Self.line(at, Self.bottom, at, Self.margin.top, "stroke=\"#ddd\""))
            lines.append(Self.text(Self.short(tick), at, Self.bottom + 18, "text-anchor=\"middle\""))
        }
        for tick in ys.ticks {
            let at = ys.place(tick)
            lines.append(Self.line(Self.margin.left, at, Self.right, at, "stroke=\"#ddd\""))
            lines.append(Self.text(Self.short(tick), Self.margin.left - 8, at + 4, "text-anchor=\"end\""))
        }
        let middle = (Self.margin.top + Self.bottom) / 2
        lines.append(
            Self.text(x.label, (Self.margin.left + Self.right) / 2, Self.bottom + 38, "text-anchor=\"middle\""))
        lines.append(
            Self.text(
                y.label, 18, middle,
                "text-anchor=\"middle\" transform=\"rotate(-90 18 \(Self.number(middle)))\""))
        return lines
    }

    private func draw(_ series: Series, _ index: Int, _ xs: Scale, _ ys: Scale) -> [String] {
        let color = Self.colors[index % Self.colors.count]
        let points = series.points.map { (xs.place($0.x), ys.place($0.y)) }
        let path = points.map { "\(Self.number($0.0)),\(Self.number($0.1))" }.joined(separator: " ")
        let dashes = series.isLimit ? " stroke-dasharray=\"6 4\"" : ""
        var lines = ["<polyline fill=\"none\" stroke=\"\(color)\" stroke-width=\"1.8\"\(dashes) points=\"\(path)\"/>"]
        if !series.isLimit {
            lines += points.map {
                "<circle cx=\"\(Self.number($0.0))\" cy=\"\(Self.number($0.1))\" r=\"3\" fill=\"\(color)\"/>"
            }
        }
        let at = Self.margin.top + 10 + Double(index) * 18
        lines.append(
            Self.line(Self.right + 12, at, Self.right + 34, at, "stroke=\"\(color)\" stroke-width=\"1.8\"\(dashes)"))
        lines.append(Self.text(series.name, Self.right + 40, at + 4, ""))
        return lines
    }

    private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) -> String {
        "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" \(style)/>"
    }

    private static func text(_ text: String, _ x: Double, _ y: Double, _ style: String) -> String {
        let escaped = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
        return "<text x=\"\(number(x))\" y=\"\(number(y))\" \(style)>\(escaped)</text>"
    }

    private static func number(_ value: Double) -> String { Report.decimal(value, digits: 1) }

    /// Three digits that count, without zeros behind them.
    private static func short(_ value: Double) -> String {
        let digits = abs(value) >= 10 || value == 0 ? 0 : abs(value) >= 1 ? 1 : 3
        var text = Report.decimal(value, digits: digits)
        while text.contains("."), text.last == "0" || text.last == "." { text.removeLast() }
        return text
    }
}

/// Where values of an axis lie.
struct Scale {
    let axis: Plot.Axis
    let low: Double
    let high: Double
    private let from: Double
    private let to: Double

    init(_ axis: Plot.Axis, _ values: [Double], from: Double, to: Double) {
        self.axis = axis
        (self.from, self.to) = (from, to)
        let finite = values.filter { $0.isFinite && (!axis.isLogarithmic || $0 > 0) }
        let most = finite.max() ?? 1
        let least = axis.isLogarithmic ? finite.min() ?? most : min(0, finite.min() ?? 0)
        low = least
        high = most > least ? most : least + max(abs(least), 1)
    }

    func place(_ value: Double) -> Double {
        let share: Double
        if axis.isLogarithmic {
            let positive = max(value, low)
            share = log2(positive / low) / log2(high / low)
        } else {
            share = (value - low) / (high - low)
        }
        return from + (to - from) * share
    }

    /// Powers of two where the axis is logarithmic, else round numbers; at most about ten.
    var ticks: [Double] {
        var ticks: [Double] = []
        if axis.isLogarithmic {
            let first = log2(low).rounded(.up)
            let last = log2(high).rounded(.down)
            let step = max(1, ((last - first) / 10).rounded(.up))
            for power in stride(from: first, through: last, by: step) { ticks.append(exp2(power)) }
            return ticks
        }
        let raw = (high - low) / 8
        var unit = 1.0
        while unit * 10 <= raw { unit *= 10 }
        while unit > raw { unit /= 10 }
        let step = unit * ([1, 2, 5, 10].first { unit * $0 >= raw } ?? 10)
        for index in 0...20 where low + Double(index) * step <= high { ticks.append(low + Double(index) * step) }
        return ticks
    }
}
