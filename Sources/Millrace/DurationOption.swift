import ArgumentParser

/// A span of time as people write it: 500ms, 30s, 15m, 24h, 7d.
struct DurationOption: ExpressibleByArgument, Equatable {
    var ms: Int64

    init(ms: Int64) { self.ms = ms }

    init?(argument: String) {
        let units: [(String, Double)] = [("ms", 1), ("s", 1e3), ("m", 6e4), ("h", 3.6e6), ("d", 8.64e7)]
        guard let (unit, factor) = units.first(where: { argument.hasSuffix($0.0) }),
            let value = Double(argument.dropLast(unit.count)), value > 0, value * factor <= 3.2e12
        else { return nil }
        ms = max(1, Int64((value * factor).rounded()))
    }

    var defaultValueDescription: String {
        for (unit, factor) in [("d", Int64(86_400_000)), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        where ms.isMultiple(of: factor) { return "\(ms / factor)\(unit)" }
        return "\(ms)ms"
    }
}
