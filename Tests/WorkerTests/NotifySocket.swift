import Foundation
import Synchronization

/// The service manager's end of a notification socket. A thread of its own reads, so that no sender waits.
final class NotifySocket: Sendable {
    enum Place { case path, abstract }

    /// For `NOTIFY_SOCKET`.
    let address: String
    private let descriptor: Int32
    private let received = Mutex<[String]>([])

    init(_ place: Place = .path) {
        let name = "millrace-notify-\(UUID().uuidString)"
        address = place == .path ? "/tmp/\(name)" : "@\(name)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var socketName = sockaddr_un()
        socketName.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(address.utf8)
        if place == .abstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &socketName.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (place == .path ? 1 : 0))
        let bound = withUnsafePointer(to: &socketName) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        precondition(bound == 0, "cannot bind \(address): \(String(cString: strerror(errno)))")
        Thread.detachNewThread { [descriptor, weak self] in
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
                guard count > 0, text != "END", let self else { break }
                self.received.withLock { $0.append(text) }
            }
            close(descriptor)
        }
    }

    deinit {
        if address.hasPrefix("/") { unlink(address) }
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Whole messages.
    var messages: [String] { received.withLock { $0 } }
    /// All assignments, in order.
    var assignments: [String] { messages.flatMap { $0.split(separator: "\n").map(String.init) } }

    func count(_ assignment: String) -> Int { assignments.count { $0 == assignment } }

    /// Place of the first assignment that begins so.
    func place(of prefix: String) -> Int? { assignments.firstIndex { $0.hasPrefix(prefix) } }
}
