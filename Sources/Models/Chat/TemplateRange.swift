/// Python's `range`; at most `maxCount` items, as in Jinja's sandbox.
final class TemplateRange {
    static let maxCount = 100_000

    let start: Int
    let end: Int
    let step: Int
    let count: Int

    init(start: Int, end: Int, step: Int) throws(TemplateError) {
        guard step != 0 else { throw TemplateError(.runtime, "range() arg 3 must not be zero") }
        let isEmpty = step > 0 ? end <= start : end >= start
        let distance = UInt(bitPattern: step > 0 ? end &- start : start &- end)
        let count = isEmpty ? 0 : (distance - 1) / step.magnitude + 1
        guard count <= Self.maxCount else {
            throw TemplateError(
                .limit, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (\(Self.maxCount)).")
        }
        self.start = start
        self.end = end
        self.step = step
        self.count = Int(count)
    }

    func value(at index: Int) -> TemplateValue { .int(start + index * step) }

    /// Of positions that may be one beyond either end.
    func slice(_ first: Int, _ last: Int, _ by: Int) throws(TemplateError) -> TemplateRange {
        func position(_ index: Int) -> (Int, Bool) {
            let (offset, isTooFar) = index.multipliedReportingOverflow(by: step)
            let (position, isOutside) = start.addingReportingOverflow(offset)
            return (position, isTooFar || isOutside)
        }
        let ends = [position(first), position(last), step.multipliedReportingOverflow(by: by)]
        guard !ends.contains(where: \.1) else {
            throw TemplateError(.unsupported, "an integer beyond 64 bits is not supported")
        }
        return try TemplateRange(start: ends[0].0, end: ends[1].0, step: ends[2].0)
    }

    func contains(_ number: Int) -> Bool {
        guard step > 0 ? number >= start && number < end : number <= start && number > end else {
            return false
        }
        let (offset, overflow) = number.subtractingReportingOverflow(start)
        return !overflow && offset % step == 0
    }

    var values: [TemplateValue] { (0..<count).map(value) }
}
