import Foundation
import Synchronization

/// Keeps a second process from working on the same queue file: an advisory lock on a file of its own beside
/// it. The kernel frees it when the process ends, however it ends. The lock file holds the process's number.
///
/// Not on the database itself: closing any second descriptor of that would drop SQLite's own locks
/// (https://www.sqlite.org/howtocorrupt.html, "Posix advisory locks canceled").
final class QueueLock: Sendable {
    private let path: String
    private let descriptor: Int32

    /// - Throws: `unavailable` naming the process that holds the lock, or why no lock file can be made.
    init(queuePath: String) throws(JobQueueError) {
        path = queuePath + ".lock"
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw .unavailable(
                    "\(path) cannot be created (\(String(cString: strerror(errno)))): "
                        + "check that the folder exists and can be written")
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let reason = errno
                let holder = Self.holder(descriptor)
                close(descriptor)
                guard reason == EWOULDBLOCK else {
                    throw .unavailable("\(path) cannot be locked: \(String(cString: strerror(reason)))")
                }
                throw .unavailable(
                    "\(queuePath) is in use by process \(holder): wait for it to end, or stop it")
            }
            // Its last owner may have removed the file between our open and our lock: then nobody else sees
            // this lock.
            guard Self.isStill(path, descriptor) else {
                close(descriptor)
                continue
            }
            let number = Array("\(getpid())\n".utf8)
            // Only names the holder in a message; the lock holds without it.
            if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, number, number.count, 0) }
            self.descriptor = descriptor
            return
        }
    }

    deinit {
        // Removed while still locked, so that whoever opens the path next makes a new file.
        unlink(path)
        // A child process that is just being started has the descriptor too, and the lock would live on with it.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        let digits = bytes.prefix(max(0, count)).prefix {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        return digits.isEmpty ? "(unknown)" : String(decoding: digits, as: UTF8.self)
    }

    private static func isStill(_ path: String, _ descriptor: Int32) -> Bool {
        var ours = stat()
        var there = stat()
        return fstat(descriptor, &ours) == 0 && stat(path, &there) == 0
            && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev
    }
}

/// Holds a queue's lock until it is freed, once, from wherever the queue is closed.
final class LockSlot: Sendable {
    private let lock: Mutex<QueueLock?>

    init(_ lock: QueueLock?) { self.lock = Mutex(lock) }

    func free() { lock.withLock { $0 = nil } }
}
