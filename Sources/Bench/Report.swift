import JSON

/// What a benchmark found: a table with the machine it ran on, as text or JSON.
package struct Report: Sendable {
    package struct Column: Sendable {
        /// In JSON, with its unit last.
        package var key: String
        /// In the text.
        package var heading: String
        package var digits: Int

        package init(_ key: String, _ heading: String, digits: Int = 1) {
            self.key = key
            self.heading = heading
            self.digits = digits
        }
    }

    package enum Cell: Sendable, Equatable {
        case text(String)
        case count(Int)
        case number(Double)
        case none
    }

    package var title: String
    /// Facts that hold for all rows.
    package var facts: [(name: String, value: JSON)]
    package var columns: [Column]
    package private(set) var rows: [[Cell]] = []

    package init(title: String, facts: [(name: String, value: JSON)] = [], columns: [Column]) {
        self.title = title
        self.facts = facts
        self.columns = columns
    }

    package mutating func add(_ row: [Cell]) {
        precondition(row.count == columns.count, "\(row.count) cells in \(columns.count) columns")
        rows.append(row)
    }

    package var text: String {
        let shown = [columns.map(\.heading)] + rows.map { zip($0, columns).map { Self.text($0, digits: $1.digits) } }
        let widths = columns.indices.map { column in shown.map { $0[column].count }.max() ?? 0 }
        let lines = shown.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let blank = String(repeating: " ", count: widths[column] - cell.count)
                line += (column > 0 ? "  " : "") + (isText(column) ? cell + blank : blank + cell)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
        return ([title] + lines).joined(separator: "\n")
    }

    package var json: JSON {
        var members: [(name: String, value: JSON)] = [("title", .string(title))]
        members += facts
        let values = rows.map { row in
            JSON.object(JSONObject(zip(columns, row).map { ($0.key, Self.json($1)) }))
        }
        members.append(("rows", .array(values)))
        return .object(JSONObject(members))
    }

    private func isText(_ column: Int) -> Bool {
        rows.contains { if case .text = $0[column] { true } else { false } }
    }

    private static func text(_ cell: Cell, digits: Int) -> String {
        switch cell {
        case .text(let text): text
        case .count(let count): String(count)
        case .number(let value): decimal(value, digits: digits)
        case .none: "-"
        }
    }

    private static func json(_ cell: Cell) -> JSON {
        switch cell {
        case .text(let text): .string(text)
        case .count(let count): .int(Int64(count))
        case .number(let value): value.isFinite ? .double(value) : .null
        case .none: .null
        }
    }

    /// With this many digits behind the point.
    static func decimal(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let whole = Int64((abs(value) * scale).rounded())
        let sign = value < 0 && whole > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(whole) }
        let fraction = String(whole % Int64(scale))
        return sign + String(whole / Int64(scale)) + "." + String(repeating: "0", count: digits - fraction.count)
            + fraction
    }
}
