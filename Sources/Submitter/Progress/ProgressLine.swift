/// A progress in words: one line for a terminal, or a plain one for a log.
struct ProgressLine {
    private let progress: Progress

    init(_ progress: Progress) { self.progress = progress }

    /// At most `width` characters: the bar gives way first, then what stands furthest right.
    func terminal(width: Int, blocks: Bool) -> String {
        let words = parts.joined(separator: "  ")
        let room = width - words.count - 2
        if room >= 8 { return bar(min(room, 30), blocks) + "  " + words }
        return String(words.prefix(max(0, width)))
    }

    var plain: String { parts.joined(separator: ", ") }

    private var parts: [String] {
        let counts = progress.counts
        let percent = counts.total > 0 ? counts.settled * 100 / counts.total : 100
        var parts = ["\(counts.settled.grouped)/\(counts.total.grouped) (\(percent)%)"]
        switch progress.errorCount {
        case 0: break
        case 1: parts.append("1 error")
        default: parts.append("\(progress.errorCount.grouped) errors")
        }
        if let rates = progress.rates {
            parts.append("prompt \(rates.prompt.brief) tok/s")
            parts.append("generated \(rates.generated.brief) tok/s")
        } else if let share = progress.meter?.loadedShare {
            parts.append("loading the model: \(Int(share * 100))%")
        } else {
            parts.append("starting")
        }
        if let estimate = progress.estimate {
            parts.append("ETA \(Self.rough(estimate.seconds)) ± \(Self.rough(estimate.uncertaintySeconds))")
        }
        return parts
    }

    /// Whole seconds, since tenths would be noise; up to a thousand days, since nobody waits longer.
    private static func rough(_ seconds: Double) -> String {
        let whole = max(1, min(seconds.rounded(.up), 86_400_000))
        return whole < 100 ? "\(Int(whole)) s" : Duration.seconds(whole).text
    }

    private func bar(_ width: Int, _ blocks: Bool) -> String {
        let total = max(progress.counts.total, 1)
        guard blocks else {
            let full = (width - 2) * progress.counts.settled / total
            let empty = width - 2 - full
            return "[" + String(repeating: "#", count: full) + String(repeating: ".", count: empty) + "]"
        }
        let eighths = width * 8 * progress.counts.settled / total
        let (full, rest) = (eighths / 8, eighths % 8)
        let edge = rest > 0 ? ["▏", "▎", "▍", "▌", "▋", "▊", "▉"][rest - 1] : ""
        return String(repeating: "█", count: full) + edge
            + String(repeating: "░", count: width - full - (rest > 0 ? 1 : 0))
    }
}
