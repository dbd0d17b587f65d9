import Foundation
import JSON
import Logging

/// Log lines as JSON objects, one a line, for journals and collectors. What a request says never gets here: callers
/// log names, numbers and error codes.
package struct JSONLogHandler: LogHandler {
    package var metadata = Logger.Metadata()
    package var logLevel = Logger.Level.info
    private let label: String
    private let now: @Sendable () -> Date
    private let write: @Sendable (String) -> Void

    /// - Parameter write: takes a whole line with its newline.
    package init(
        label: String, now: @escaping @Sendable () -> Date = { Date() }, write: @escaping @Sendable (String) -> Void
    ) {
        self.label = label
        self.now = now
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var members: [(name: String, value: JSON)] = [
            ("time", .string(now().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)))),
            ("level", .string(event.level.rawValue)),
            ("logger", .string(label)),
            ("message", .string("\(event.message)")),
        ]
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        for (name, value) in all.sorted(by: { $0.key < $1.key }) { members.append((name, Self.json(value))) }
        write(JSON.object(JSONObject(members)).text + "\n")
    }

    private static func json(_ value: Logger.Metadata.Value) -> JSON {
        switch value {
        case .string(let text): number(text) ?? .string(text)
        case .stringConvertible(let value): number(value.description) ?? .string(value.description)
        case .array(let values): .array(values.map(json))
        case .dictionary(let values):
            .object(JSONObject(values.sorted { $0.key < $1.key }.map { (name: $0.key, value: json($0.value)) }))
        }
    }

    /// Whole numbers stay numbers.
    private static func number(_ text: String) -> JSON? {
        guard let value = Int64(text), String(value) == text else { return nil }
        return .int(value)
    }
}
