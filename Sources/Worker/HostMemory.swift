import Foundation

/// What Linux says of the host's memory.
package enum HostMemory {
    /// Bytes that this program could be given without swapping: what the system has, or what the program's own control
    /// group (a systemd unit's MemoryMax, a container's limit) allows, if that is less. Nil where neither is told.
    package static var available: Int? {
        func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }
        let group = groupPath(in: text("/proc/self/cgroup")).map { "/sys/fs/cgroup\($0)/memory.max" }
        let limit = group.flatMap { Int(text($0).split(separator: "\n").first ?? "") }
        return [available(in: text("/proc/meminfo")), limit].compactMap(\.self).min()
    }

    /// From the text of /proc/meminfo, which counts in kibibytes.
    package static func available(in text: String) -> Int? {
        for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
        }
        return nil
    }

    /// From the text of /proc/self/cgroup: where the group lies in the one hierarchy that version 2 has.
    package static func groupPath(in text: String) -> String? {
        text.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) }
    }
}
