import CUDAEmulation

/// An argument of a kernel, as the declaration has it.
enum KernelArgument {
    /// `owner` lives as long as the argument.
    case pointer(UnsafeMutableRawPointer?, owner: AnyObject? = nil)
    case int(Int)
    case longLong(Int)
    case float(Float)

    /// The argument's value as it lies in memory.
    fileprivate var bits: UInt64 {
        switch self {
        case .pointer(let value, _): UInt64(UInt(bitPattern: value))
        case .int(let value): UInt64(UInt32(bitPattern: Int32(value)))
        case .longLong(let value): UInt64(bitPattern: Int64(value))
        case .float(let value): UInt64(value.bitPattern)
        }
    }

    static func buffer<Element>(_ buffer: EmulatedBuffer<Element>?) -> KernelArgument { .pointer(buffer?.address, owner: buffer) }
}

/// The launch failed for the reason given.
struct EmulationError: Error {
    var reason: String
}

/// Runs a kernel on the emulation.
func emulate(
    _ kernel: String, grid: (Int, Int, Int), block: Int, sharedBytes: Int = 0, _ arguments: KernelArgument...
) throws {
    try emulate(kernel, grid: grid, block: block, sharedBytes: sharedBytes, arguments: arguments)
}

func emulate(
    _ kernel: String, grid: (Int, Int, Int), block: Int, sharedBytes: Int = 0, arguments: [KernelArgument]
) throws {
    var values = arguments.map(\.bits)
    let status = values.withUnsafeMutableBytes { values in
        var pointers: [UnsafeMutableRawPointer?] = arguments.indices.map { values.baseAddress?.advanced(by: 8 * $0) }
        return withExtendedLifetime(arguments) {
            mr_emulate(
                kernel, UInt32(grid.0), UInt32(grid.1), UInt32(grid.2), UInt32(block), 1, 1, UInt32(sharedBytes),
                &pointers)
        }
    }
    if status != 0 { throw EmulationError(reason: String(cString: mr_emulation_error())) }
}

/// Orders in which a block's threads run: a missing barrier shows in at least one.
let threadOrders: [UInt32] = [0, 1, 77]

/// Runs launches with the threads of a block in another order.
func inOrder<Result>(_ order: UInt32, _ body: () throws -> Result) rethrows -> Result {
    mr_emulation_order(order)
    defer { mr_emulation_order(0) }
    return try body()
}
