import Foundation
import JSON

/// The chat templates that a checkpoint brings, and the texts of its special tokens.
///
/// Where they are: in GGUF under `tokenizer.chat_template` and, for named ones,
/// `tokenizer.chat_template.NAME` (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md); in Hugging
/// Face folders in `chat_template.jinja` and `additional_chat_templates/NAME.jinja`, else in
/// `tokenizer_config.json`, else in `chat_template.json`
/// (https://huggingface.co/docs/transformers/chat_templating).
package struct ChatTemplateSource: Sendable {
    /// By name; the one without a name is "default".
    package private(set) var templates: [(name: String, source: String)] = []
    package private(set) var bosToken: String?
    package private(set) var eosToken: String?
    /// The other special tokens under the names that templates know them by (`unk_token`, `pad_token` ...);
    /// they belong into the variables of a rendering.
    package private(set) var otherTokens = JSONObject()

    package static let defaultName = "default"
    private static let toolsName = "tool_use"
    private static let tokenNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// The source to parse: the one of that name; without a name, `tool_use` if there are tools and it
    /// exists, else the default one, else the only one. Nil if the checkpoint has none such.
    package func source(named name: String? = nil, hasTools: Bool = false) -> String? {
        func find(_ name: String) -> String? {
            templates.first { $0.name.utf8.elementsEqual(name.utf8) }?.source
        }
        if let name { return find(name) }
        if hasTools, let source = find(Self.toolsName) { return source }
        return find(Self.defaultName) ?? (templates.count == 1 ? templates[0].source : nil)
    }

    private mutating func add(_ name: String, _ source: String) {
        if self.source(named: name) == nil { templates.append((name, source)) }
    }

    private mutating func setToken(_ name: String, _ text: String) {
        switch name {
        case "bos_token": bosToken = bosToken ?? text
        case "eos_token": eosToken = eosToken ?? text
        default: if otherTokens[name] == nil { otherTokens[name] = .string(text) }
        }
    }
}

// GGUF.
extension ChatTemplateSource {
    private static let tokenKeys = [
        "bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "sep_token": "seperator",
        "pad_token": "padding", "cls_token": "cls", "mask_token": "mask",
    ]

    package init(gguf metadata: GGUFMetadata) {
        let key = "tokenizer.chat_template"
        if let source = metadata.string(key) { add(Self.defaultName, source) }
        for named in metadata.values.keys.sorted() where named.hasPrefix(key + ".") {
            if let source = metadata.string(named) { add(String(named.dropFirst(key.count + 1)), source) }
        }
        guard let vocabulary = metadata.strings("tokenizer.ggml.tokens") else { return }
        for (name, key) in Self.tokenKeys {
            guard let id = metadata.int("tokenizer.ggml.\(key)_token_id"), vocabulary.indices.contains(id)
            else {
                continue
            }
            setToken(name, String(decoding: vocabulary[id], as: UTF8.self))
        }
    }
}

/// Why the files of a folder do not give their chat template.
package struct ChatTemplateSourceError: Error, Sendable, CustomStringConvertible {
    package let description: String
}

// Hugging Face folders.
extension ChatTemplateSource {
    /// Larger files are no tokenizer configurations.
    private static let maxFileBytes = 1 << 26

    /// - Throws: `ChatTemplateSourceError` naming the file that is there but cannot be read. Absent files are
    ///   no error.
    package init(folder: URL) throws(ChatTemplateSourceError) {
        if let bytes = try Self.bytes(of: folder.appending(path: "chat_template.jinja")) {
            add(Self.defaultName, String(decoding: bytes, as: UTF8.self))
        }
        let more = folder.appending(path: "additional_chat_templates")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: more.path)) ?? []
        for file in files.sorted() where file.hasSuffix(".jinja") {
            guard let bytes = try Self.bytes(of: more.appending(path: file)) else { continue }
            add(String(file.dropLast(".jinja".count)), String(decoding: bytes, as: UTF8.self))
        }
        let isInFiles = !templates.isEmpty
        for name in ["tokenizer_config.json", "special_tokens_map.json", "chat_template.json"] {
            let file = folder.appending(path: name)
            guard let bytes = try Self.bytes(of: file) else { continue }
            let config: JSON
            do {
                config = try JSON(parsing: bytes)
            } catch {
                throw ChatTemplateSourceError(description: "\(file.path): \(error)")
            }
            if !isInFiles, let template = config["chat_template"] { try addTemplates(template, file) }
            for token in Self.tokenNames {
                if let text = config[token]?.string ?? config[token]?["content"]?.string {
                    setToken(token, text)
                }
            }
        }
    }

    private mutating func addTemplates(_ value: JSON, _ file: URL) throws(ChatTemplateSourceError) {
        switch value {
        case .null: return
        case .string(let source): add(Self.defaultName, source)
        case .object(let object):
            for (name, source) in object.members {
                guard let source = source.string else { throw Self.unreadable(value, file) }
                add(name, source)
            }
        case .array(let entries):
            for entry in entries {
                guard let name = entry["name"]?.string, let source = entry["template"]?.string else {
                    throw Self.unreadable(entry, file)
                }
                add(name, source)
            }
        default: throw Self.unreadable(value, file)
        }
    }

    private static func unreadable(_ value: JSON, _ file: URL) -> ChatTemplateSourceError {
        ChatTemplateSourceError(
            description:
                "\(file.path): chat_template has \(value.kindName) where a template, or a list of objects with "
                + "name and template, is expected")
    }

    private static func bytes(of file: URL) throws(ChatTemplateSourceError) -> [UInt8]? {
        guard
            let attributes = try? FileManager.default.attributesOfItem(
                atPath: file.resolvingSymlinksInPath().path)
        else { return nil }
        let size = attributes[.size] as? Int ?? 0
        guard size <= maxFileBytes else {
            throw ChatTemplateSourceError(
                description:
                    "\(file.path): \(size) bytes, more than \(maxFileBytes), the most for such a file")
        }
        do {
            return try Array(Data(contentsOf: file))
        } catch {
            throw ChatTemplateSourceError(description: "\(file.path): \(error.localizedDescription)")
        }
    }
}
