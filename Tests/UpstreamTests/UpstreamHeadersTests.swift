import Scheduler
import Testing

@testable import Worker

@Suite struct UpstreamHeadersTests {
    private func headers(_ pairs: (String, String)...) -> RateReport {
        RateReport(pairs.map { UpstreamHeader($0.0, $0.1) })
    }

    @Test func readsGroqsHeaders() {
        let found = headers(
            ("retry-after", "2"), ("x-ratelimit-limit-requests", "14400"), ("x-ratelimit-limit-tokens", "18000"),
            ("x-ratelimit-remaining-requests", "14370"), ("x-ratelimit-remaining-tokens", "17997"),
            ("x-ratelimit-reset-requests", "2m59.56s"), ("x-ratelimit-reset-tokens", "7.66s"))
        #expect(found.requests == .init(limit: 14_400, remaining: 14_370, resetMs: 179_560))
        #expect(found.tokens == .init(limit: 18_000, remaining: 17_997, resetMs: 7660))
        #expect(found.retryAfterMs == 2000)
    }

    @Test func nonsenseIsSilence() {
        let found = headers(
            ("retry-after", "soon"), ("x-ratelimit-limit-requests", "-1"), ("x-ratelimit-limit-tokens", "many"),
            ("x-ratelimit-remaining-tokens", ""), ("x-ratelimit-reset-requests", "-3s"))
        #expect(found.requests == .init())
        #expect(found.tokens == .init())
        #expect(found.retryAfterMs == nil)
        #expect(headers() == RateReport())
    }

    /// Some servers say "no limit" so.
    @Test func aLimitWithoutEndIsOne() {
        let most = String(Int.max)
        let found = headers(
            ("x-ratelimit-limit-requests", most), ("x-ratelimit-remaining-requests", most),
            ("x-ratelimit-limit-tokens", most), ("x-ratelimit-remaining-tokens", most))
        var budget = RateBudget(RateLimits(requestHeaderSpan: .minute))
        for step in 1...40 {
            let at = Int64(step * 50)
            let ticket = budget.sent(cost: 100, at: at)
            if step % 4 == 0 {
                budget.refused(ticket, report: found, at: at + 20, random: 0.5)
            } else {
                budget.finished(ticket, actual: 120, report: found, at: at + 20)
            }
        }
        #expect(found.requests.limit == 1 << 50)
    }

    @Test func datesAreComparedWithTheServersClock() {
        let until = "Sun, 06 Nov 1994 08:49:37 GMT"
        #expect(headers(("date", "Sun, 06 Nov 1994 08:49:07 GMT"), ("retry-after", until)).retryAfterMs == 30_000)
        // In the past: at once.
        #expect(headers(("date", "Mon, 07 Nov 1994 08:49:07 GMT"), ("retry-after", until)).retryAfterMs == 0)
        #expect(headers(("retry-after", until)).retryAfterMs == nil)
        #expect(headers(("retry-after-ms", "1500"), ("retry-after", "9")).retryAfterMs == 1500)
        #expect(headers(("retry-after", "86400")).retryAfterMs == 86_400_000)
        #expect(headers(("retry-after", "999999999999")).retryAfterMs == 320_000_000_000)
    }

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2028 23:59:59 GMT", 1_835_481_599),
    ] as [(String, Int64)])
    func readsDates(_ text: String, _ seconds: Int64) {
        #expect(HTTPDate.seconds(text) == seconds)
    }

    @Test(arguments: [
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 8:49 GMT", "Sun, 99 Nov 1994 08:49:37 GMT",
    ])
    func refusesOtherDates(_ text: String) {
        #expect(HTTPDate.seconds(text) == nil)
    }
}
