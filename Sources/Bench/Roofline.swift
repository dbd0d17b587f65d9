import Kernels

/// What must be moved and computed, whatever the program.
package struct Work: Sendable, Equatable {
    package var bytes: Double
    package var operations: Double
    /// Those on bytes, beside the others.
    package var byteOperations: Double

    package init(bytes: Double = 0, operations: Double = 0, byteOperations: Double = 0) {
        self.bytes = bytes
        self.operations = operations
        self.byteOperations = byteOperations
    }

    package var allOperations: Double { operations + byteOperations }

    package static func + (a: Work, b: Work) -> Work {
        Work(
            bytes: a.bytes + b.bytes, operations: a.operations + b.operations,
            byteOperations: a.byteOperations + b.byteOperations)
    }
}

/// A machine's limits. No work takes less time than the longer of moving its bytes and doing its operations.
package struct Roofline: Sendable, Equatable {
    package var bytesPerSecond: Double
    package var operationsPerSecond: Double
    package var byteOperationsPerSecond: Double

    /// - Parameter byteOperationsPerSecond: nil: as fast as the others.
    package init(bytesPerSecond: Double, operationsPerSecond: Double, byteOperationsPerSecond: Double? = nil) {
        precondition(bytesPerSecond > 0 && operationsPerSecond > 0 && byteOperationsPerSecond ?? 1 > 0)
        self.bytesPerSecond = bytesPerSecond
        self.operationsPerSecond = operationsPerSecond
        self.byteOperationsPerSecond = byteOperationsPerSecond ?? operationsPerSecond
    }

    package init(_ peaks: CPUPeaks, computing type: ComputeType) {
        self.init(
            bytesPerSecond: peaks.bytesPerSecond, operationsPerSecond: peaks.operationsPerSecond(type),
            byteOperationsPerSecond: peaks.int8)
    }

    package func movingSeconds(_ work: Work) -> Double { work.bytes / bytesPerSecond }

    package func computingSeconds(_ work: Work) -> Double {
        work.operations / operationsPerSecond + work.byteOperations / byteOperationsPerSecond
    }

    package func floorSeconds(_ work: Work) -> Double { max(movingSeconds(work), computingSeconds(work)) }
}
