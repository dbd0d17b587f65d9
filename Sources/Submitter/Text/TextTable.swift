/// Rows under headings, in columns as wide as they need; figures stand to the right.
struct TextTable {
    private var rows: [[String]]
    private let right: [Bool]
    private let isFixed: [Bool]

    /// Columns of names are made so narrow, then columns left out, then names made narrower still.
    private static let narrow = 8
    private static let narrowest = 6
    private static let fewest = 5
    private static let gap = 2

    /// - Parameter headings: one that begins with `>` is of a column of figures, with `=` of one that is not narrowed.
    init(_ headings: [String]) {
        right = headings.map { $0.hasPrefix(">") }
        isFixed = headings.map { $0.hasPrefix(">") || $0.hasPrefix("=") }
        rows = [headings.map { String($0.drop { $0 == ">" || $0 == "=" }) }]
    }

    mutating func add(_ cells: [String]) { rows.append(cells.map(\.shown)) }

    var isEmpty: Bool { rows.count == 1 }

    var lines: [String] { lines(width: .max) }

    /// - Parameter width: columns of names give way, the widest first; then columns on the right are left out.
    func lines(width: Int) -> [String] {
        var widths = right.indices.map { column in rows.map { $0[column].columns }.max() ?? 0 }
        func total() -> Int { widths.reduce(0, +) + Self.gap * (widths.count - 1) }
        func shrink(to least: Int) {
            while total() > width {
                let names = widths.indices.filter { !isFixed[$0] && widths[$0] > least }
                guard let widest = names.max(by: { widths[$0] < widths[$1] }) else { break }
                widths[widest] -= 1
            }
        }
        shrink(to: Self.narrow)
        while total() > width, widths.count > Self.fewest { widths.removeLast() }
        shrink(to: Self.narrowest)
        while total() > width, widths.count > 1 { widths.removeLast() }
        return rows.map { row in
            var line = ""
            for (column, room) in widths.enumerated() {
                let cell = row[column].fitted(to: room)
                let blank = String(repeating: " ", count: room - cell.columns)
                line += (column > 0 ? String(repeating: " ", count: Self.gap) : "")
                    + (right[column] ? blank + cell : cell + blank)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
