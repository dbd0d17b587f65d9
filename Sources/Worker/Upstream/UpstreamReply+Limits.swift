import Scheduler

extension RateReport {
    /// What an answer's headers say of the upstream's limits, a date in `retry-after` included: it is compared with
    /// the upstream's own clock, so that its skew does not matter; without one to compare it with it says nothing.
    init(_ headers: [UpstreamHeader]) {
        func text(_ name: String) -> String? { headers.last { $0.name == name }?.value }
        self.init(headers: headers.lazy.map { (name: $0.name, value: $0.value) })
        if let exact = text("retry-after-ms").flatMap({ Int64($0) }), exact >= 0 {
            retryAfterMs = exact
        } else if retryAfterMs == nil, let until = text("retry-after").flatMap(HTTPDate.seconds),
            let now = text("date").flatMap(HTTPDate.seconds)
        {
            retryAfterMs = max(0, until - now) * 1000
        }
        // Nothing waits longer than ten years, and no sum of times overflows.
        retryAfterMs = retryAfterMs.map { min($0, 320_000_000_000) }
    }
}
