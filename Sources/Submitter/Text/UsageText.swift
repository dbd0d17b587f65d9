import Foundation
import JSON
import JobQueue

extension Day {
    /// `2026-11-26`; nil for anything else.
    package init?(_ text: String) {
        let style = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day()
        guard text.utf8.count == 10, let date = try? style.parse(text) else { return nil }
        self.init(of: Timestamp(milliseconds: Int64(date.timeIntervalSince1970) * 1000))
        // Days that no month has are taken for others.
        guard self.text == text else { return nil }
    }

    package var text: String {
        let date = Date(timeIntervalSince1970: Double(number) * 86_400)
        return date.formatted(Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day())
    }
}

/// The ledger, summed by what is asked for.
package struct UsageReport: Sendable, Equatable {
    package enum Column: String, Sendable, CaseIterable { case day, tenant, model, backend }

    package let columns: [Column]
    /// In the order in which they came first.
    package let rows: [UsageRecord]

    /// - Parameter columns: what rows differ in; the rest is summed up.
    package init(_ records: [UsageRecord], by columns: [Column]) {
        self.columns = Column.allCases.filter(columns.contains)
        var sums: [UsageRecord] = []
        var places: [[[UInt8]]: Int] = [:]
        for record in records {
            let key = self.columns.map { Array(Self.cell(record, $0).utf8) }
            if let place = places[key] {
                sums[place].completed += record.completed
                sums[place].unsuccessful += record.unsuccessful
                sums[place].usage += record.usage
            } else {
                places[key] = sums.count
                sums.append(record)
            }
        }
        rows = sums
    }

    private static func cell(_ record: UsageRecord, _ column: Column) -> String {
        switch column {
        case .day: record.day.text
        case .tenant: record.tenant
        case .model: record.model
        case .backend: record.backend
        }
    }

    package var json: JSON {
        .array(
            rows.map { row in
                var object = JSONObject(
                    columns.map { (name: $0.rawValue, value: .string(Self.cell(row, $0))) })
                object["completed"] = row.completed.json
                object["unsuccessful"] = row.unsuccessful.json
                object["usage"] = row.usage.json
                return .object(object)
            })
    }

    package var text: String {
        guard !rows.isEmpty else { return "no usage" }
        // Who pays nobody has nothing to read there.
        let hasCost = rows.contains { $0.usage.costNanodollars > 0 }
        var table = TextTable(
            columns.map { $0.rawValue.uppercased() }
                + [">COMPLETED", ">UNSUCCESSFUL", ">PROMPT", ">CACHED", ">GENERATED"] + (hasCost ? [">COST"] : []))
        func figures(_ row: UsageRecord) -> [String] {
            [
                row.completed, row.unsuccessful, row.usage.promptTokens, row.usage.cachedTokens,
                row.usage.completionTokens,
            ].map(\.grouped) + (hasCost ? [row.usage.costNanodollars.dollars] : [])
        }
        for row in rows { table.add(columns.map { Self.shown(Self.cell(row, $0)) } + figures(row)) }
        if rows.count > 1, let sum = UsageReport(rows, by: []).rows.first {
            table.add(columns.indices.map { $0 == 0 ? "all" : "" } + figures(sum))
        }
        return table.lines.joined(separator: "\n")
    }

    private static func shown(_ cell: String) -> String { cell.isEmpty ? "-" : cell }
}
