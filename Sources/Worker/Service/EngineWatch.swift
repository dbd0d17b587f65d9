/// Whether the engine gets on, judged from its pulses: waiting for work is fine for ever, and so is a step as long as
/// another follows. A step that does not end is not.
struct EngineWatch {
    private var fedAt: EnginePulse?

    /// To be asked a few times in a watchdog's period.
    /// - Returns: whether the watchdog is to be fed.
    mutating func isAlive(_ pulse: EnginePulse) -> Bool {
        guard pulse.isBusy, let last = fedAt, last.isBusy, last.turns == pulse.turns else {
            fedAt = pulse
            return true
        }
        return false
    }
}
