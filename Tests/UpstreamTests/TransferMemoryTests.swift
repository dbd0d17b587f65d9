import Foundation
import Testing

@testable import Worker

/// Buffers that begin pages of their own.
@Suite struct TransferMemoryTests {
    @Test func buffersAreApartAndComeBackLastFirst() throws {
        let bytes = 16 << 10
        let pool = try #require(TransferMemory.Pool(bytes, 3))
        let all = (0..<3).compactMap { _ in pool.take(bytes) }
        try #require(all.count == 3)
        for (number, buffer) in all.enumerated() {
            #expect(Int(bitPattern: buffer) % 4096 == 0)
            #expect(pool.owns(buffer))
            buffer.initializeMemory(as: UInt8.self, repeating: UInt8(number), count: bytes)
        }
        for (number, buffer) in all.enumerated() {
            let content = UnsafeRawBufferPointer(start: buffer, count: bytes)
            #expect(content.allSatisfy { $0 == UInt8(number) }, "another buffer wrote to this one")
        }
        #expect(pool.take(bytes) == nil, "there are three")
        #expect(pool.giveBack(all[0]))
        #expect(pool.giveBack(all[2]))
        #expect(pool.take(bytes) == all[2])
        #expect(pool.take(bytes) == all[0])
    }

    @Test func whatIsTheHeapsStaysTheHeaps() throws {
        let pool = try #require(TransferMemory.Pool(16 << 10, 1))
        #expect(pool.take(100) == nil)
        let other = try #require(malloc(16 << 10))
        defer { free(other) }
        #expect(!pool.owns(other))
        #expect(!pool.giveBack(other))
        let own = try #require(pool.take(16 << 10))
        #expect(!pool.owns(own + (16 << 10)), "its end is not in it")
    }

    /// Most of a buffer is never written to, and takes no memory.
    @Test func untouchedPartsTakeNoMemory() throws {
        func residentKiB() throws -> Int {
            let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4
        }
        let count = 4096
        let pool = try #require(TransferMemory.Pool(16 << 10, count))
        let before = try residentKiB()
        for _ in 0..<count { pool.take(16 << 10)?.storeBytes(of: 1, as: UInt8.self) }
        let grown = try residentKiB() - before
        // A page of four, and what other tests take meanwhile; all of it would be 64 MiB.
        #expect(grown >= 16 << 10 && grown < 48 << 10, "\(grown) KiB")
    }
}
