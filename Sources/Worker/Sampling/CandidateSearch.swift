import Glibc
import Kernels

/// A token with an entry in the adjustments. Its place in the row is -infinity meanwhile, so that scans of
/// the row see only tokens that nothing was done to.
struct TouchedToken {
    var token: Int32
    var raw: Float
    var value: Double
}

/// What weighs the tokens of one row: the row is read with these values in place of its own.
struct Odds {
    var touched: [TouchedToken] = []
    /// Only touched tokens may be chosen.
    var listedOnly = false
    /// Most likely token (of equals the first), and its logit.
    var best: Int32 = 0
    var peak = -Double.infinity
    /// Largest logit of the untouched tokens.
    var rowMaximum = -Float.infinity
    var temperature = 1.0

    /// Probability of a logit relative to the most likely token's.
    func weight(_ value: Double) -> Double { exp((value - peak) / temperature) }

    /// The logit that is exp(-depth) as likely as the peak.
    func logit(atDepth depth: Double) -> Float {
        depth.isFinite ? Float(peak - depth * temperature).nextDown : -.greatestFiniteMagnitude
    }
}

/// Finds the tokens that survive the cuts without sorting the vocabulary, or weighing tokens that cannot
/// survive.
struct CandidateSearch: ~Copyable {
    /// What a draw needs besides the candidates.
    struct Rest {
        /// Weight of tokens that are no candidates and may be drawn nevertheless: all below `threshold`.
        var weight = 0.0
        var threshold = -Float.greatestFiniteMagnitude
    }

    private(set) var candidates = CandidateSet()
    private var places: [Int32] = []
    private var histogram = [Int32](repeating: 0, count: Self.bins)

    private static let bins = 512
    /// Rows up to this size are weighed whole, in double precision.
    private static let smallRow = 1024

    /// Makes `candidates` the tokens that survive the cuts. When nothing is cut, the least likely ones stay
    /// out of them, in the rest, unless `exhaustive`.
    mutating func narrow(
        _ row: Span<Float>, _ odds: Odds, _ parameters: SamplingParameters, exhaustive: Bool
    ) -> Rest {
        var rest = Rest()
        let limitsCount = parameters.topK > 0 && parameters.topK < row.count
        if parameters.minP > 0 {
            gather(row, odds, from: odds.logit(atDepth: -log(parameters.minP)))
            candidates.cutBelow(share: parameters.minP)
        } else if limitsCount {
            gather(row, odds, from: threshold(reaching: parameters.topK, row, odds))
        } else if parameters.topP < 1 {
            return narrowByMass(row, odds, topP: parameters.topP)
        } else if exhaustive || odds.listedOnly {
            gather(row, odds, from: rest.threshold)
        } else {
            rest.threshold = odds.logit(atDepth: 8)
            gather(row, odds, from: rest.threshold)
            rest.weight = max(0, totalWeight(row, odds) - candidates.weight)
        }
        if limitsCount { candidates.cut(topK: parameters.topK) }
        if parameters.topP < 1 { candidates.cut(topP: parameters.topP, rest: 0) }
        return rest
    }

    /// Top-p over the whole row.
    private mutating func narrowByMass(_ row: Span<Float>, _ odds: Odds, topP: Double) -> Rest {
        // Where so little may be dropped, or so little is there, the sum of the row must be exact.
        if row.count <= Self.smallRow || 1 - topP < 1e-4 || odds.listedOnly {
            gather(row, odds, from: -.greatestFiniteMagnitude)
            candidates.cut(topP: topP, rest: 0)
            return Rest()
        }
        let total = totalWeight(row, odds)
        // All tokens below this depth together weigh at most half of what may be dropped.
        let depth = max(1, log(Double(row.count) / (0.5 * (1 - topP) * total)))
        let found = RowOperations.findIndices(row, threshold: odds.logit(atDepth: depth), into: &places)
        let bounds = boundaries(row, odds, found: found, depth: depth, wanted: topP * total)
        candidates.removeAll()
        for place in places[..<found] {
            let value = Double(row[Int(place)])
            if value >= bounds.lower { insert(place, value, odds) }
        }
        for token in odds.touched where token.value >= bounds.lower { insert(token.token, token.value, odds) }
        candidates.cut(topP: topP, rest: max(0, total - candidates.weight), keepingFrom: bounds.upper)
        return Rest()
    }

    /// Brackets the logit down to which tokens weigh `wanted` together: those from `upper` up weigh less,
    /// those from `lower` up more. From counts of tokens by depth, so that only tokens above the lower bound
    /// need be weighed.
    private mutating func boundaries(
        _ row: Span<Float>, _ odds: Odds, found: Int, depth: Double, wanted: Double
    ) -> (lower: Double, upper: Double) {
        let width = depth * odds.temperature / Double(Self.bins)
        for i in histogram.indices { histogram[i] = 0 }
        func bin(_ value: Double) -> Int { min(max(0, Int((odds.peak - value) / width)), Self.bins - 1) }
        for place in places[..<found] { histogram[bin(Double(row[Int(place)]))] += 1 }
        let deepest = odds.peak - depth * odds.temperature
        for token in odds.touched where token.value >= deepest { histogram[bin(token.value)] += 1 }
        // A bin's tokens weigh between `count * share` of its two edges. The sums get a margin far above
        // their rounding.
        let ratio = exp(-depth / Double(Self.bins))
        var (least, most, share) = (0.0, 0.0, 1.0)
        var upper = Double.infinity
        for i in histogram.indices {
            most += Double(histogram[i]) * share
            share *= ratio
            least += Double(histogram[i]) * share
            // One bin to each side covers what rounding puts into a neighbour.
            if most * 1.0001 < wanted { upper = odds.peak - Double(i) * width }
            if least > wanted * 1.0001 { return (odds.peak - Double(i + 2) * width, upper) }
        }
        return (-.infinity, upper)
    }

    /// A logit that at least `count` tokens reach, and not many more; the lowest where there are fewer.
    private func threshold(reaching count: Int, _ row: Span<Float>, _ odds: Odds) -> Float {
        func reached(_ logit: Float) -> Int {
            let untouched = odds.listedOnly ? 0 : RowOperations.countAtOrAbove(row, threshold: logit)
            return untouched + odds.touched.count { $0.value >= Double(logit) }
        }
        let enough = 2 * count + 256
        var (shallow, deep) = (0.0, 8.0)
        var found = reached(odds.logit(atDepth: deep))
        while found < count {
            guard deep < 1000 else { return -.greatestFiniteMagnitude }
            (shallow, deep) = (deep, deep * 2)
            found = reached(odds.logit(atDepth: deep))
        }
        // Ties may keep the number up, whatever the depth.
        for _ in 0..<20 where found > enough {
            let middle = (shallow + deep) / 2
            let between = reached(odds.logit(atDepth: middle))
            if between < count { shallow = middle } else { (deep, found) = (middle, between) }
        }
        return odds.logit(atDepth: deep)
    }

    private mutating func gather(_ row: Span<Float>, _ odds: Odds, from threshold: Float) {
        candidates.removeAll()
        if !odds.listedOnly {
            let found = RowOperations.findIndices(row, threshold: threshold, into: &places)
            for place in places[..<found] { insert(place, Double(row[Int(place)]), odds) }
        }
        for token in odds.touched where token.value >= Double(threshold) {
            insert(token.token, token.value, odds)
        }
    }

    private mutating func insert(_ token: Int32, _ value: Double, _ odds: Odds) {
        candidates.insert(Candidate(token: token, value: value, weight: odds.weight(value)))
    }

    /// Weight of all tokens together, to about 1e-7 of it.
    private func totalWeight(_ row: Span<Float>, _ odds: Odds) -> Double {
        var total = 0.0
        if !odds.listedOnly, odds.rowMaximum > -.infinity {
            total = odds.weight(Double(odds.rowMaximum))
            total *= RowOperations.sumOfExponentials(
                row, maximum: odds.rowMaximum, scale: Float(1 / odds.temperature))
        }
        for token in odds.touched { total += odds.weight(token.value) }
        return total
    }
}
