/// How long the last steps took.
struct StepTimes {
    private static let kept = 32

    private var latest: [Double] = []
    private var next = 0

    mutating func add(_ duration: Duration) {
        let ms = duration / .milliseconds(1)
        if latest.count < Self.kept { latest.append(ms) } else { latest[next] = ms }
        next = (next + 1) % Self.kept
    }

    /// 0 before the first step.
    var medianMs: Double {
        guard !latest.isEmpty else { return 0 }
        return latest.sorted()[latest.count / 2]
    }
}
