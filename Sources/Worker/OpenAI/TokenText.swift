import JSON
import Models

/// Tokens as responses show them one by one.
struct TokenText {
    let tokenizer: any Tokenizer
    /// `token_id:N` instead of the text.
    let byID: Bool

    func bytes(_ token: Int32) -> [UInt8] {
        Int(token) < tokenizer.vocabularySize ? tokenizer.bytes(of: token) : []
    }

    /// For names in an object, where two tokens must not look the same: parts of characters are written as
    /// OpenAI's completions write them, `bytes:\xe2\x80`.
    func name(_ token: Int32) -> String {
        if byID { return "token_id:\(token)" }
        let bytes = bytes(token)
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        return "bytes:" + bytes.map { "\\x" + (($0 < 16 ? "0" : "") + String($0, radix: 16)) }.joined()
    }

    /// For a `token` that has its `bytes` beside it.
    func text(_ token: Int32) -> String {
        byID ? "token_id:\(token)" : String(decoding: bytes(token), as: UTF8.self)
    }
}

extension JSON {
    /// A log-probability. JSON has no -infinity; like OpenAI and vLLM, -9999 stands for it. As many digits as
    /// float32 has.
    static func logprob(_ value: Float) -> JSON {
        let finite = max(value, -9999)
        return .double(Double(finite.description) ?? Double(finite))
    }

    static func tokens(_ tokens: [Int32]) -> JSON { .array(tokens.map { .int(Int64($0)) }) }
}
