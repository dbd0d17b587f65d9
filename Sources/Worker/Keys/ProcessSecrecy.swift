import CSecrets
import Foundation

/// Keeps a process that holds keys from leaving them in core dumps, and others of the same user from reading its memory.
package enum ProcessSecrecy {
    /// - Throws: `SecretError` when the system refuses.
    package static func begin() throws(SecretError) {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        guard setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0, csecrets_forbid_dumps() == 0 else {
            throw SecretError("core dumps cannot be forbidden: \(String(cString: strerror(errno)))")
        }
    }

    package static var isActive: Bool {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0 && limit.rlim_cur == 0
            && csecrets_may_be_dumped() == 0
    }
}
