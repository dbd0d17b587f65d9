import Foundation

/// An open file, closed with the object. Unlike Foundation's handles it says what exactly was written when a
/// write fails, which is what lets a result file end with a whole line on a full disk.
final class PosixFile {
    /// As the user named it, for messages.
    let name: String
    private let descriptor: Int32
    private let closes: Bool

    private init(name: String, descriptor: Int32, closes: Bool) {
        self.name = name
        self.descriptor = descriptor
        self.closes = closes
    }

    deinit {
        guard closes else { return }
        // A child process that is just being started has the descriptor too, and a lock would live on with it.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    enum Access { case read, readWrite, writeOnly, createOrReadWrite }

    static func open(_ path: String, _ access: Access) throws(FileError) -> PosixFile {
        let flags =
            switch access {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .writeOnly: O_WRONLY
            case .createOrReadWrite: O_RDWR | O_CREAT
            }
        let descriptor = Glibc.open(path, flags | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FileError("open", path, errno) }
        return PosixFile(name: path, descriptor: descriptor, closes: true)
    }

    static var standardInput: PosixFile { PosixFile(name: "stdin", descriptor: 0, closes: false) }
    static var standardOutput: PosixFile { PosixFile(name: "stdout", descriptor: 1, closes: false) }

    /// A file without a name in `folder`: its space is freed with the object, also when the process is
    /// killed.
    static func temporary(in folder: String) throws(FileError) -> PosixFile {
        let path = folder + "/spool.\(getpid())"
        let file = try open(path, .createOrReadWrite)
        guard unlink(path) == 0 else { throw FileError("remove", path, errno) }
        return file
    }

    struct Facts {
        var isRegular: Bool
        var isDirectory: Bool
        var bytes: Int64
        /// Device and inode: the same for two paths of one file.
        var identity: [UInt64]

        fileprivate init(_ raw: stat) {
            isRegular = raw.st_mode & S_IFMT == S_IFREG
            isDirectory = raw.st_mode & S_IFMT == S_IFDIR
            bytes = Int64(raw.st_size)
            identity = [UInt64(raw.st_dev), UInt64(raw.st_ino)]
        }
    }

    func facts() throws(FileError) -> Facts {
        var raw = stat()
        guard fstat(descriptor, &raw) == 0 else { throw FileError("examine", name, errno) }
        return Facts(raw)
    }

    /// Nil when nothing is at `path`.
    static func facts(of path: String) throws(FileError) -> Facts? {
        var raw = stat()
        guard stat(path, &raw) == 0 else {
            if errno == ENOENT { return nil }
            throw FileError("examine", path, errno)
        }
        return Facts(raw)
    }

    /// The next bytes of the stream, at most `count`; empty at its end.
    func read(upTo count: Int) throws(FileError) -> [UInt8] {
        try take(count) { Glibc.read(descriptor, &$0, count) }
    }

    /// Bytes at `offset`, at most `count`; empty behind the end.
    func read(upTo count: Int, at offset: Int64) throws(FileError) -> [UInt8] {
        try take(count) { pread(descriptor, &$0, count, off_t(offset)) }
    }

    private func take(_ count: Int, _ call: (inout [UInt8]) -> Int) throws(FileError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        while true {
            let got = call(&buffer)
            if got >= 0 {
                buffer.removeLast(count - got)
                return buffer
            }
            guard errno == EINTR else { throw FileError("read", name, errno) }
        }
    }

    /// Writes all of `bytes` behind what was written before, in one call where the system takes them at once.
    /// - Returns: how many were written, and why it stopped where that is not all.
    func write(_ bytes: [UInt8]) -> (written: Int, failure: FileError?) {
        var written = 0
        while written < bytes.count {
            let rest = written == 0 ? bytes : Array(bytes[written...])
            let count = Glibc.write(descriptor, rest, rest.count)
            if count >= 0 {
                written += count
            } else if errno == EAGAIN {
                // Somebody made our standard output non-blocking; wait until it takes more.
                var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&wanted, 1, -1)
            } else if errno != EINTR {
                return (written, FileError("write to", name, errno))
            }
        }
        return (written, nil)
    }

    /// Cuts the file to `bytes` and goes on writing there.
    func cut(to bytes: Int64) throws(FileError) {
        guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw FileError("cut", name, errno) }
        try goOn(at: bytes)
    }

    /// The next write goes there.
    func goOn(at bytes: Int64) throws(FileError) {
        guard lseek(descriptor, off_t(bytes), SEEK_SET) >= 0 else { throw FileError("seek in", name, errno) }
    }

    /// Returns when the contents are on the disk.
    func sync() throws(FileError) {
        guard fdatasync(descriptor) == 0 || errno == EINVAL || errno == EROFS else {
            throw FileError("write to", name, errno)
        }
    }

    static func remove(_ path: String) throws(FileError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw FileError("remove", path, errno) }
    }

    /// Takes the contents of a file away, if there is one.
    static func empty(_ path: String) throws(FileError) {
        guard truncate(path, 0) == 0 || errno == ENOENT else { throw FileError("empty", path, errno) }
    }

    static func checkCanRead(_ path: String) throws(FileError) {
        guard access(path, R_OK) == 0 else { throw FileError("open", path, errno) }
    }

    static func checkCanWrite(_ path: String) throws(FileError) {
        guard access(path, W_OK) == 0 else { throw FileError("write to", path, errno) }
    }

    static func checkCanCreate(_ path: String) throws(FileError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else { throw FileError("create", path, errno) }
    }

    /// Claims the file for this process until it ends, however it ends. False when another process has it.
    func lock() throws(FileError) -> Bool {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return false }
            guard errno == EINTR else { throw FileError("lock", name, errno) }
        }
        return true
    }
}

/// A file operation that the system refused.
struct FileError: Error, Equatable, CustomStringConvertible {
    var operation: String
    var path: String
    var code: Int32

    init(_ operation: String, _ path: String, _ code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    var description: String { "cannot \(operation) \(path): \(String(cString: strerror(code)))" }
}
