/// Statements that have the proportion of a bucket's, whatever it takes to fill.
struct OtherRefill: Sendable, Equatable, Codable {
    private var ms = 0.0
    private var count = 0
    /// Parts that were missing: with a single one any span looks the same.
    private var least = 1.0
    private var most = 0.0

    /// - Returns: how long it takes, once that is plain.
    mutating func note(missing: Double, resetMs: Int64) -> Double? {
        guard missing > 0.05, missing < 0.95, resetMs > 0 else { return nil }
        let ratio = Double(resetMs) / missing
        if count == 0 || abs(ratio / ms - 1) > 0.03 { self = OtherRefill() }
        if count == 0 { ms = ratio }
        count += 1
        (least, most) = (min(least, missing), max(most, missing))
        guard count >= 8, most - least >= 0.1 else { return nil }
        defer { self = OtherRefill() }
        return ms
    }
}
