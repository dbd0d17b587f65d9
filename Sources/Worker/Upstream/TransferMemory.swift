// libcurl's memory callbacks: https://curl.se/libcurl/c/curl_global_init_mem.html

import CCurl
import Foundation
import Synchronization

/// Memory for the buffers that libcurl sends from: over TLS one for each transfer, which it keeps as long as the
/// handle. They have at least 16 KiB, of which most requests need a part. Out of the heap they would be places where
/// handshakes were before, and resident as a whole; here each begins a page of its own, and what was never written to
/// takes no memory. Everything else is the heap's.
enum TransferMemory {
    /// What a buffer has to have to be one of these.
    static let bufferBytes = 16 << 10
    /// Twice as many as transfers by default; those beyond are the heap's.
    private static let bufferCount = 8192

    /// Sets libcurl up to use it.
    static func setUp() -> CURLcode {
        guard pool != nil else { return curl_global_init(Int(CURL_GLOBAL_DEFAULT)) }
        return curl_global_init_mem(
            Int(CURL_GLOBAL_DEFAULT),
            { TransferMemory.pool?.take($0) ?? malloc($0) },
            { pointer in
                guard let pointer else { return }
                if TransferMemory.pool?.giveBack(pointer) != true { free(pointer) }
            },
            { TransferMemory.resize($0, $1) }, { $0.flatMap { strdup($0) } }, { calloc($0, $1) })
    }

    private static func resize(_ pointer: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
        guard let pointer, let pool, pool.owns(pointer) else { return realloc(pointer, size) }
        guard size > bufferBytes else { return pointer }
        guard let larger = malloc(size) else { return nil }
        larger.copyMemory(from: pointer, byteCount: bufferBytes)
        _ = pool.giveBack(pointer)
        return larger
    }

    /// nil where the system has no addresses left.
    private static let pool = Pool(bufferBytes, bufferCount)

    final class Pool: Sendable {
        nonisolated(unsafe) private let start: UnsafeMutableRawPointer
        private let bytes: Int
        private let count: Int
        /// The last one given back is the next to be taken, so that as few as possible are ever written to.
        private let free: Mutex<(returned: [Int32], unused: Int32)>

        init?(_ bytes: Int, _ count: Int) {
            let all = mmap(
                nil, bytes * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            guard let all, all != MAP_FAILED else { return nil }
            // A huge page would make all of it resident at once.
            madvise(all, bytes * count, MADV_NOHUGEPAGE)
            start = all
            self.bytes = bytes
            self.count = count
            free = Mutex(([], 0))
        }

        deinit { munmap(start, bytes * count) }

        func owns(_ pointer: UnsafeMutableRawPointer) -> Bool {
            pointer >= start && pointer < start + bytes * count
        }

        func take(_ size: Int) -> UnsafeMutableRawPointer? {
            guard size == bytes else { return nil }
            let place = free.withLock { free -> Int32? in
                if let last = free.returned.popLast() { return last }
                guard free.unused < count else { return nil }
                free.unused += 1
                return free.unused - 1
            }
            return place.map { start + Int($0) * bytes }
        }

        /// - Returns: false for memory that is none of its.
        func giveBack(_ pointer: UnsafeMutableRawPointer) -> Bool {
            guard owns(pointer) else { return false }
            free.withLock { $0.returned.append(Int32((pointer - start) / bytes)) }
            return true
        }
    }
}
