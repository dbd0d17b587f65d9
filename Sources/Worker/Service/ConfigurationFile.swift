/// A service's configuration: lines of `name = value`, where names are those of the command's options without their
/// dashes. A line that begins with `#` is a comment; a value is what stands behind the `=`, without the spaces around
/// it, and needs no quotes.
package struct ConfigurationFile: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        /// From 1.
        package var line: Int
        package var name: String
        package var value: String

        /// As it would stand on the command line.
        package var argument: String { "--\(name)=\(value)" }
    }

    package struct Fault: Error, Equatable, CustomStringConvertible {
        package let description: String

        package init(path: String, line: Int, _ what: String) { description = "\(path):\(line): \(what)" }
    }

    package var entries: [Entry]

    /// - Parameter path: as messages name it.
    package init(_ text: String, path: String) throws(Fault) {
        entries = []
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = Self.trim(raw)
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw Fault(path: path, line: index + 1, "'\(line)' is not 'name = value'")
            }
            let name = Self.trim(line[..<equals])
            let value = Self.trim(line[line.index(after: equals)...])
            guard !name.isEmpty, name.allSatisfy({ $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") }),
                name.first != "-"
            else {
                throw Fault(
                    path: path, line: index + 1,
                    "'\(name)' is not an option's name: lower-case letters and dashes, as 'max-num-seqs'")
            }
            guard !value.isEmpty else {
                throw Fault(path: path, line: index + 1, "'\(name)' has no value; give one, or remove the line")
            }
            if let earlier = entries.first(where: { $0.name == name }) {
                throw Fault(
                    path: path, line: index + 1, "'\(name)' stands in line \(earlier.line) already; keep one")
            }
            entries.append(Entry(line: index + 1, name: name, value: value))
        }
    }

    /// What another reading of the file has otherwise.
    package func changedNames(in other: ConfigurationFile) -> [String] {
        let names = Set(entries.map(\.name)).union(other.entries.map(\.name))
        return names.sorted().filter { self[$0] != other[$0] }
    }

    package subscript(name: String) -> String? { entries.first { $0.name == name }?.value }

    private static func trim(_ text: some StringProtocol) -> String {
        let blanks: Set<Character> = [" ", "\t"]
        let begun = text.drop { blanks.contains($0) }
        return String(String(begun.reversed().drop { blanks.contains($0) }).reversed())
    }
}
