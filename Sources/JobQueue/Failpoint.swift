import Foundation
import Synchronization

/// Places in the program where a test can have it die as if it were killed: `MILLRACE_FAILPOINT=name` ends the process
/// at the first pass, `name:3` at the third. Without the variable a pass costs a look at a constant.
package enum Failpoint {
    private static let armed: (name: String, passes: Int)? = {
        guard let text = ProcessInfo.processInfo.environment["MILLRACE_FAILPOINT"], !text.isEmpty else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1)
        return (String(parts[0]), parts.count > 1 ? Int(parts[1]) ?? 1 : 1)
    }()

    private static let passed = Atomic(0)

    package static var isActive: Bool { armed != nil }

    package static func pass(_ name: StaticString) { hit("\(name)") }

    /// The same for names that are put together: steps of a call to Redis are `<script>.before` (not sent),
    /// `<script>.sent` (sent, not answered) and `<script>.replied` (answered, the answer not used).
    package static func hit(_ name: @autoclosure () -> String) {
        guard let armed, armed.name == name() else { return }
        guard passed.wrappingAdd(1, ordering: .relaxed).newValue >= armed.passes else { return }
        kill(getpid(), SIGKILL)
    }
}
