import Synchronization

/// What encoding a text writes to besides its result.
struct TokenizerScratch: Sendable {
    var words = WordCache()
    var chain = SymbolChain()
    let matcher = ExpressionMatcher()
}

/// Lends each call of `encode` a scratch of its own, so that threads neither wait for nor disturb each other,
/// and keeps the caches warm from call to call.
final class TokenizerScratchPool: Sendable {
    private let free = Mutex<[TokenizerScratch]>([])
    /// Threads that encode at the same time are few; more scratches than these are dropped after use.
    private static let keptAtMost = 8

    func withScratch<Result>(_ body: (inout TokenizerScratch) -> Result) -> Result {
        var scratch = free.withLock { $0.popLast() } ?? TokenizerScratch()
        let result = body(&scratch)
        free.withLock { if $0.count < Self.keptAtMost { $0.append(scratch) } }
        return result
    }
}
