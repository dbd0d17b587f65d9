import ArgumentParser
import Foundation
import JSON
import Models

/// `millrace tokenize MODEL [FILE]`
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turn text into token ids.",
        discussion: """
            Reads FILE or standard input. A .jsonl file (or --jsonl) holds a JSON string, or an object with a "text" \
            or "prompt" string, on each line, and gives a line of ids each; other input is one text as a whole.
            """)

    @Argument(help: "A GGUF file, a Hugging Face folder, or the name of a fetched model.") var model: String
    @Argument(help: "Input (default: standard input).") var file: String?
    @Flag(help: "Every line is JSON.") var jsonl = false
    @Flag(help: "Print JSON objects with ids and the text of each token.") var json = false
    @Flag(help: "Treat the spelling of special tokens as ordinary text.") var plain = false
    @Flag(help: "Leave out what the tokenizer puts around a text (BOS).") var noSpecial = false

    func run() throws {
        let checkpoint = try Checkpoint(path: ModelOptions.resolve(model))
        let tokenizer = try TokenizerLoader.make(checkpoint.tokenizer)
        let input = try CommandInput.read(file)
        for text in try texts(input) {
            let ids = tokenizer.encode(text, parseSpecial: !plain, addSpecial: !noSpecial)
            if json {
                let result: JSON = [
                    "ids": .array(ids.map { .int(Int64($0)) }),
                    "tokens": .array(ids.map { .string(String(decoding: tokenizer.bytes(of: $0), as: UTF8.self)) }),
                ]
                print(result.text)
            } else {
                print(ids.map(String.init).joined(separator: " "))
            }
        }
    }

    private func texts(_ input: [UInt8]) throws -> [String] {
        guard jsonl || file?.hasSuffix(".jsonl") == true else {
            return [try CommandInput.text(input, of: file)]
        }
        return try CommandInput.lines(input, of: file).map { value, place in
            guard let text = value.string ?? value["text"]?.string ?? value["prompt"]?.string else {
                throw ValidationError(
                    "\(place): a string, or an object with a \"text\" or \"prompt\" string, is needed")
            }
            return text
        }
    }
}

/// `millrace detokenize MODEL [FILE]`
struct DetokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detokenize", abstract: "Turn token ids into text.",
        discussion: """
            Reads FILE or standard input: on each line ids separated by spaces or commas, a JSON array of them, or an \
            object with an "ids" array. Each line is a text; with --json it is printed as a JSON string.
            """)

    @Argument(help: "A GGUF file, a Hugging Face folder, or the name of a fetched model.") var model: String
    @Argument(help: "Input (default: standard input).") var file: String?
    @Flag(help: "Print JSON strings.") var json = false
    @Flag(help: "Leave special tokens out of the text.") var skipSpecial = false

    func run() throws {
        let checkpoint = try Checkpoint(path: ModelOptions.resolve(model))
        let tokenizer = try TokenizerLoader.make(checkpoint.tokenizer)
        let input = try CommandInput.read(file)
        for (number, line) in input.split(separator: UInt8(ascii: "\n")).enumerated() {
            let place = "\(file ?? "standard input"):\(number + 1)"
            let ids = try Self.ids(String(decoding: line, as: UTF8.self), place)
            if let bad = ids.first(where: { $0 < 0 || Int($0) >= tokenizer.vocabularySize }) {
                throw ValidationError("\(place): \(bad) is no id; they run from 0 to \(tokenizer.vocabularySize - 1)")
            }
            let text = tokenizer.decode(ids, skipSpecial: skipSpecial)
            print(json ? JSON.string(text).text : text)
        }
    }

    private static func ids(_ line: String, _ place: String) throws -> [Int32] {
        let words: [JSON]
        if line.contains(where: { $0 == "[" || $0 == "{" }) {
            let value = try JSON(parsing: line)
            guard let array = value.array ?? value["ids"]?.array else {
                throw ValidationError("\(place): an array of ids, or an object with an \"ids\" array, is needed")
            }
            words = array
        } else {
            words = line.split { $0 == " " || $0 == "," || $0 == "\t" || $0 == "\r" }.map {
                Int64($0).map(JSON.int) ?? .string(String($0))
            }
        }
        return try words.map { word in
            guard let id = word.int.flatMap(Int32.init(exactly:)) else {
                throw ValidationError("\(place): \(word.text) is no token id")
            }
            return id
        }
    }
}

/// What a command reads: a file, or standard input.
enum CommandInput {
    static func read(_ file: String?) throws -> [UInt8] {
        guard let file, file != "-" else { return Array(try FileHandle.standardInput.readToEnd() ?? Data()) }
        do {
            return Array(try Data(contentsOf: URL(filePath: file)))
        } catch {
            throw ValidationError("\(file) is not there, or is no file that can be read")
        }
    }

    /// The input as a text; refuses what is not UTF-8.
    static func text(_ input: [UInt8], of file: String?) throws -> String {
        guard let text = String(validating: input, as: UTF8.self) else {
            throw ValidationError("\(file ?? "standard input") is not UTF-8")
        }
        return text
    }

    /// The JSON value of every line that is not blank, and where it stands.
    static func lines(_ input: [UInt8], of file: String?) throws -> [(value: JSON, place: String)] {
        var parser = JSONParser()
        var values: [(value: JSON, place: String)] = []
        for (number, line) in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) {
            let place = "\(file ?? "standard input"):\(number + 1)"
            do throws(JSONSyntaxError) {
                values.append((try parser.parse(line), place))
            } catch {
                throw ValidationError("\(place): \(error)")
            }
        }
        return values
    }
}
