/// One transition or consistent look, as a Lua script in the server: all of it happens, or nothing.
///
/// Source: https://redis.io/docs/latest/develop/programmability/eval-intro/
struct RedisScript: Sendable {
    let name: String
    let text: String

    init(_ name: String, _ body: String) {
        self.name = name
        text = RedisKeys.lua + RedisPrelude.lua + body
    }

    static let all = [
        open, append, seal, lease, renew, settle, release, reclaim, cancel, goOn, forget, list, resultsByCompletion,
        resultsByInput, deadLetters, backlog, overview, heartbeat, forgetWorker, pauseBatch, readRecords, writeRecords,
    ]
}
