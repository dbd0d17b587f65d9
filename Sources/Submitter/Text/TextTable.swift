/// Rows under headings, in columns as wide as they need; figures stand to the right.
struct TextTable {
    private var rows: [[String]]
    private let right: [Bool]

    /// - Parameter headings: one that begins with `>` is of a column of figures.
    init(_ headings: [String]) {
        right = headings.map { $0.hasPrefix(">") }
        rows = [headings.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }]
    }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    var isEmpty: Bool { rows.count == 1 }

    var lines: [String] {
        let widths = right.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let blank = String(repeating: " ", count: widths[column] - cell.count)
                line += (column > 0 ? "  " : "") + (right[column] ? blank + cell : cell + blank)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
