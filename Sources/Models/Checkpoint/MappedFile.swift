import Kernels

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A whole file mapped read-only and privately; unmapped when the last reference goes.
///
/// A file that somebody shortens while it is mapped kills the process with SIGBUS on the next access
/// beyond its new end, as every program that maps files; replace model files by renaming, never by
/// rewriting in place.
package final class MappedFile: DiscardablePages, @unchecked Sendable {
    // @unchecked: the mapping is read-only and its bounds never change.
    package let path: String
    package let bytes: UnsafeRawBufferPointer

    package init(path: String) throws(ModelError) {
        self.path = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw .unreadable(file: path, reason: "cannot open: \(Self.errorText())")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .unreadable(file: path, reason: "cannot read its size: \(Self.errorText())")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable(file: path, reason: "is not a regular file")
        }
        let size = Int(status.st_size)
        guard size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw .unreadable(file: path, reason: "cannot map \(size) bytes: \(Self.errorText())")
        }
        bytes = UnsafeRawBufferPointer(start: base, count: size)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    package func discard(_ span: UnsafeRawBufferPointer) {
        guard let file = bytes.baseAddress, let start = span.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        // Only whole pages: what shares a page with other tensors stays.
        let first = (start - file + page - 1) / page * page
        let last = (start - file + span.count) / page * page
        guard first >= 0, last > first, last <= bytes.count else { return }
        madvise(UnsafeMutableRawPointer(mutating: file + first), last - first, MADV_DONTNEED)
    }

    /// The last component of the path, for messages.
    package var name: String { String(path.split(separator: "/").last ?? Substring(path)) }

    private static func errorText() -> String { String(cString: strerror(errno)) }
}
