import Foundation
import JSON
import Models

/// The chat templates of a checkpoint, ready to render requests.
package struct CheckpointChat: ChatRenderer {
    private let source: ChatTemplateSource
    private let plain: ChatTemplate
    private let withTools: ChatTemplate
    private let now: CalendarTime

    /// - Parameter now: what templates print as the date; fixed when the model is opened, so that the requests of a run
    ///   that goes past midnight are rendered alike.
    /// - Returns: nil for a checkpoint without a template.
    /// - Throws: `ChatTemplateSourceError`, `TemplateError` when a template is there that cannot be used.
    package init?(_ checkpoint: TokenizerSource, now: CalendarTime) throws {
        switch checkpoint {
        case .gguf(let metadata): source = ChatTemplateSource(gguf: metadata)
        case .huggingFace(let documents): source = try ChatTemplateSource(folder: URL(filePath: documents.folder))
        }
        guard let text = source.source() else { return nil }
        plain = try ChatTemplate(source: text)
        withTools = try source.source(hasTools: true).map { try ChatTemplate(source: $0) } ?? plain
        self.now = now
    }

    package func render(_ input: ChatInput) throws -> String {
        var variables = source.otherTokens
        for (name, value) in input.variables.members { variables[name] = value }
        let template = input.tools.isEmpty ? plain : withTools
        return try template.render(
            messages: input.messages, addGenerationPrompt: input.addsGenerationPrompt, bosToken: source.bosToken,
            eosToken: source.eosToken, tools: input.tools.isEmpty ? nil : .array(input.tools), extra: variables,
            now: now)
    }
}
