import Foundation
import JobQueue

/// What cannot be written, and what to do.
package struct ResultFileError: Error, Equatable, CustomStringConvertible {
    package let description: String
}

/// Where results and errors are to go.
package struct ResultPlaces: Sendable, Equatable {
    /// A path, or `-` for standard output.
    package let output: String
    /// Nil: error lines go among the results.
    package let errors: String?

    /// - Parameter errors: nil: `results.errors.jsonl` beside `results.jsonl`, and with the results where
    ///   those go to standard output.
    package init(output: String, errors: String? = nil) {
        self.output = output
        let chosen = errors ?? (output == "-" ? "-" : Self.besides(output))
        self.errors = Self.isSame(chosen, output) ? nil : chosen
    }

    private static func isSame(_ a: String, _ b: String) -> Bool {
        guard a != "-", b != "-" else { return a == b }
        let paths = [a, b].map { URL(filePath: $0).standardizedFileURL.resolvingSymlinksInPath().path }
        return paths[0] == paths[1]
    }

    private static func besides(_ output: String) -> String {
        let start = output.lastIndex(of: "/").map { output.index(after: $0) } ?? output.startIndex
        guard let dot = output.lastIndex(of: "."), dot > start else { return output + ".errors.jsonl" }
        return output[..<dot] + ".errors" + output[dot...]
    }

    private var paths: [String] { [output, errors].compactMap { $0 }.filter { $0 != "-" } }

    /// Takes away what an earlier run wrote.
    func empty() throws(ResultFileError) {
        do throws(FileError) {
            for path in paths where try PosixFile.facts(of: path)?.isRegular ?? false { try PosixFile.empty(path) }
        } catch {
            throw ResultFileError(description: error.description)
        }
    }

    /// False for standard output, pipes and devices: they take a stream, and cannot be compared with the
    /// store.
    var isOutputRegular: Bool {
        get throws(ResultFileError) {
            guard output != "-" else { return false }
            do throws(FileError) {
                return try PosixFile.facts(of: output)?.isRegular ?? true
            } catch {
                throw ResultFileError(description: error.description)
            }
        }
    }

    /// Looks for what would make writing fail, before any work is done.
    func check() throws(ResultFileError) {
        for path in paths {
            do throws(FileError) {
                switch try PosixFile.facts(of: path) {
                case nil: try PosixFile.checkCanCreate(path)
                case .some(let facts) where facts.isDirectory: throw FileError("write to", path, EISDIR)
                case .some: try PosixFile.checkCanWrite(path)
                }
            } catch {
                throw ResultFileError(description: error.description)
            }
        }
    }

    /// An input must never be written over.
    func check(against input: BatchInput) throws(ResultFileError) {
        for path in paths where input.isFile(at: path) {
            throw ResultFileError(description: "\(path) is the input itself; choose another file for results")
        }
    }

    /// Nobody's file is written over unasked.
    /// - Parameters:
    ///   - batch: whose results may be there already; nil: nobody's.
    ///   - ownsOutput: the state lies beside the output, so what is there by that name is this run's.
    ///   - remedy: what else can be done, for the message.
    func refuseOverwriting(
        by batch: BatchID?, ownsOutput: Bool, remedy: String = "overwrite it with --restart"
    ) throws(RunError) {
        for path in paths {
            if batch != nil, ownsOutput, path == output || path == Self.besides(output) { continue }
            let facts = try? PosixFile.facts(of: path)
            guard let facts, facts.isRegular, facts.bytes > 0 else { continue }
            if let batch, Self.hasLines(of: batch, path) { continue }
            throw .foreignOutput(
                "\(path) has contents that are not this batch's; choose another file, or \(remedy)")
        }
    }

    private static func hasLines(of batch: BatchID, _ path: String) -> Bool {
        let start = try? PosixFile.open(path, .read).read(upTo: 64 << 10)
        return String(decoding: start ?? [], as: UTF8.self).contains(ResultLine.idPrefix(of: batch))
    }
}

/// The results of a batch as files: an output, and an errors file that is there only when a request did not
/// succeed.
final class ResultFile {
    private let line: ResultLine
    private let output: ResultSink
    /// Nil: error lines go to the output.
    private let errors: ResultSink?

    init(_ places: ResultPlaces, batch: BatchID, inputName: String) throws(ResultFileError) {
        line = ResultLine(batch: batch, inputName: inputName)
        do throws(FileError) {
            output =
                places.output == "-"
                ? ResultSink(standardOutput: ()) : try ResultSink(path: places.output, keepsEmpty: true)
            errors = switch places.errors {
            case nil: nil
            case "-": ResultSink(standardOutput: ())
            case let path?: try ResultSink(path: path, keepsEmpty: false)
            }
        } catch {
            throw ResultFileError(description: error.description)
        }
    }

    func append(_ records: [ResultRecord]) throws(ResultFileError) {
        try attempt { () throws(FileError) in
            for record in records {
                let sink = record.outcome.error == nil ? output : errors ?? output
                try sink.append(line.bytes(record))
            }
        }
    }

    /// All results that the store had at the start were appended: makes the files equal to them.
    func endReplay() throws(ResultFileError) {
        try attempt { () throws(FileError) in
            try output.endReplay()
            try errors?.endReplay()
        }
        try flush()
    }

    func flush() throws(ResultFileError) {
        try attempt { () throws(FileError) in
            try output.flush()
            try errors?.flush()
        }
    }

    func finish() throws(ResultFileError) {
        try attempt { () throws(FileError) in
            try output.finish()
            try errors?.finish()
        }
    }

    /// The errors file's path where there is one.
    var errorsPath: String? { errors.flatMap { $0.hasLines ? $0.name : nil } }

    private func attempt(_ write: () throws(FileError) -> Void) throws(ResultFileError) {
        do {
            try write()
        } catch {
            throw ResultFileError(
                description: "\(error.description). Nothing is lost: make room or mend it, and run the same "
                    + "command again")
        }
    }
}
