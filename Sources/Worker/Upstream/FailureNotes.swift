import JobQueue

/// Says that an upstream fails, at once and then once a minute, rather than for each of thousands of attempts.
struct FailureNotes {
    private struct Note {
        var saidAt: Timestamp
        var unsaid = 0
    }

    /// By the upstream's name.
    private var notes: [String: Note] = [:]
    private static let everyMs: Int64 = 60_000

    /// - Returns: what to say now; nil: nothing.
    mutating func take(_ what: String, of upstream: String, at now: Timestamp) -> String? {
        guard var note = notes[upstream], now - note.saidAt < Self.everyMs else {
            let before = notes[upstream]?.unsaid ?? 0
            notes[upstream] = Note(saidAt: now)
            return before == 0
                ? "an attempt failed, and is made again: \(what)"
                : "\(before + 1) attempts failed, and are made again; the last: \(what)"
        }
        note.unsaid += 1
        notes[upstream] = note
        return nil
    }
}
