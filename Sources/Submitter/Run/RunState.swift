import Foundation

/// The folder in which a run remembers what it did: its queue, and a lock that keeps a second run out.
package final class RunState {
    package let folder: String
    /// Whether the folder is only this process's and goes with it: nothing can be resumed.
    private let isTemporary: Bool
    private let lock: PosixFile

    /// Where the queue's store is.
    package var queuePath: String { Self.queuePath(folder) }

    private static func queuePath(_ folder: String) -> String { folder + "/queue.sqlite" }

    /// Whether there is anything to resume.
    static func hasQueue(_ folder: String) -> Bool { FileManager.default.fileExists(atPath: queuePath(folder)) }

    /// The folder that belongs to an output.
    package static func folder(for output: String) -> String { output + ".millrace" }

    /// - Parameter folder: made if it is not there; nil: a temporary one.
    /// - Throws: when it cannot be made, or when another run has it.
    package init(folder: String?) throws(RunError) {
        let manager = FileManager.default
        isTemporary = folder == nil
        self.folder = folder ?? manager.temporaryDirectory.appending(path: "millrace-\(UUID().uuidString)").path
        do {
            // As the output beside it: whoever may read one may read the other.
            try manager.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
            let lock = try PosixFile.open(self.folder + "/lock", .createOrReadWrite)
            guard try lock.lock() else {
                throw RunError.busy(
                    "another run is at work in \(self.folder); wait for it, or choose another output")
            }
            self.lock = lock
        } catch let error as RunError {
            throw error
        } catch let error as FileError {
            throw .queue(error.description)
        } catch {
            throw .queue("cannot make the folder \(self.folder): \(error.localizedDescription)")
        }
    }

    deinit { if isTemporary { try? FileManager.default.removeItem(atPath: folder) } }

    /// Forgets everything that was done.
    package func removeQueue() throws(RunError) {
        do throws(FileError) {
            for ending in ["", "-wal", "-shm", "-journal"] { try PosixFile.remove(queuePath + ending) }
        } catch {
            throw .queue(error.description)
        }
    }
}
