import CKernels
import Foundation
import Testing

@testable import Kernels

/// Memory of the KV cache is there before keys are stored, in all layers, and keeps what it holds.
@Suite struct CacheSupplyTests {
    /// A block of a layer takes 4 KiB, so that 512 fill a large page.
    private static let layers = 3, blocks = 1200, blockBytes = 4096

    private func withCache(_ body: (CPUDevice, inout mr_cache, UnsafeMutableRawBufferPointer) throws -> Void) throws {
        let bytes = Self.layers * Self.blocks * Self.blockBytes
        let memory = try #require(mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        try #require(memory != MAP_FAILED)
        defer { munmap(memory, bytes) }
        var cache = mr_cache(
            data: memory, type: MR_CACHE_BFLOAT16, layers: Int32(Self.layers), blocks: Int32(Self.blocks),
            block_size: 16, kv_heads: 1, head_width: 64)
        try #require(mr_cache_block_bytes(&cache) == Self.layers * Self.blockBytes)
        try body(
            CPUDevice(computeType: .bfloat16, threads: 2), &cache,
            UnsafeMutableRawBufferPointer(start: memory, count: bytes))
    }

    @Test func largePagesAreSuppliedInAllLayers() throws {
        try withCache { device, cache, memory in
            #expect(mr_supply_blocks(device.engine, &cache, 0, 1) == 512)
            var pages = [UInt8](repeating: 0, count: memory.count / Self.blockBytes)
            try #require(mincore(memory.baseAddress, memory.count, &pages) == 0)
            for layer in 0..<Self.layers {
                let there = pages[layer * Self.blocks..<(layer + 1) * Self.blocks].map { $0 & 1 == 1 }
                #expect(there[..<512].allSatisfy { $0 }, "layer \(layer)")
                #expect(!there[1100...].contains(true), "layer \(layer)")
            }
        }
    }

    @Test func whatBlocksHoldStays() throws {
        try withCache { device, cache, memory in
            for at in memory.indices { memory[at] = UInt8(truncatingIfNeeded: at / 251) }
            let before = Data(memory)
            #expect(mr_supply_blocks(device.engine, &cache, 0, 513) == 1024)
            #expect(mr_supply_blocks(device.engine, &cache, 1024, 1025) == 1200)
            #expect(mr_supply_blocks(device.engine, &cache, 1200, 1200) == 1200)
            #expect(Data(memory) == before)
        }
    }
}
