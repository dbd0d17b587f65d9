import Foundation

/// Finds the checkpoint that a person means by a path or a name.
package enum ModelName {
    /// Where fetched models lie: `$XDG_CACHE_HOME/millrace/models`, else `~/.cache/millrace/models`
    /// (https://specifications.freedesktop.org/basedir-spec/latest/).
    package static func cacheFolder(_ environment: [String: String]) -> String {
        let base =
            environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
            ?? (environment["HOME"] ?? "") + "/.cache"
        return base + "/millrace/models"
    }

    /// A path that exists is itself; else NAME is `NAME.gguf` or the folder `NAME` in the cache.
    /// - Throws: `ModelError.notFound`, which says where it looked and what names there are.
    package static func resolve(_ text: String, environment: [String: String]) throws(ModelError) -> String {
        let files = FileManager.default
        if files.fileExists(atPath: text) { return text }
        let cache = cacheFolder(environment)
        if !text.contains("/") {
            for candidate in ["\(cache)/\(text).gguf", "\(cache)/\(text)"] where files.fileExists(atPath: candidate) {
                return candidate
            }
        }
        let names = ((try? files.contentsOfDirectory(atPath: cache)) ?? []).filter { $0.hasSuffix(".gguf") }
            .map { String($0.dropLast(".gguf".count)) }.sorted()
        let known = names.isEmpty ? "none yet" : names.joined(separator: ", ")
        throw .notFound(
            path: text,
            reason: "no such file or folder, nor a fetched model of that name in \(cache) (\(known)); "
                + "'scripts/fetch-model smollm2' fetches the demo model")
    }
}
