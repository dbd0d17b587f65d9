import Foundation
import Synchronization

/// For tests of crashes only: ends the process at an exact step, as if it were killed there.
///
/// `MILLRACE_FAILPOINT=name[:n]` in the environment names the step and which time it counts (from 1). Steps of a
/// call to Redis are `<script>.before` (not sent), `<script>.sent` (sent, not answered) and `<script>.replied`
/// (answered, the answer not used); scripts are RedisScript.all's: `append`, `seal`, `lease`, `renew`, `settle`,
/// `release`, `reclaim`, `cancel`, `goOn` ... A forwarder has `upstream.leased`, `.sent`, `.replied`, `.released`,
/// `.settling` and `.settled`, and for batches at upstreams `batch.leased`, `.written`, `.uploaded`, `.created`,
/// `.settling`, `.released`, `.settled` and `.deleted`. Without the variable it costs one comparison.
package enum Failpoint {
    package static let exitCode: Int32 = 86

    private final class Plan: Sendable {
        let name: String
        let hits = Atomic<Int>(0)
        let last: Int
        init(name: String, last: Int) { (self.name, self.last) = (name, last) }
    }

    private static let plan: Plan? = {
        guard let text = ProcessInfo.processInfo.environment["MILLRACE_FAILPOINT"], !text.isEmpty else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1)
        return Plan(name: String(parts[0]), last: parts.count > 1 ? Int(parts[1]) ?? 1 : 1)
    }()

    package static var isActive: Bool { plan != nil }

    package static func hit(_ name: @autoclosure () -> String) {
        guard let plan, plan.name == name() else { return }
        if plan.hits.add(1, ordering: .relaxed).newValue == plan.last { _exit(exitCode) }
    }
}
