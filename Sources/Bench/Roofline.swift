/// What must be moved and computed, whatever the program.
package struct Work: Sendable, Equatable {
    package var bytes: Double
    package var operations: Double

    package init(bytes: Double = 0, operations: Double = 0) {
        self.bytes = bytes
        self.operations = operations
    }

    package static func + (a: Work, b: Work) -> Work {
        Work(bytes: a.bytes + b.bytes, operations: a.operations + b.operations)
    }
}

/// A machine's two limits. No work takes less time than the longer of moving its bytes and doing its operations.
package struct Roofline: Sendable, Equatable {
    package var bytesPerSecond: Double
    package var operationsPerSecond: Double

    package init(bytesPerSecond: Double, operationsPerSecond: Double) {
        precondition(bytesPerSecond > 0 && operationsPerSecond > 0)
        self.bytesPerSecond = bytesPerSecond
        self.operationsPerSecond = operationsPerSecond
    }

    package func floorSeconds(_ work: Work) -> Double {
        max(work.bytes / bytesPerSecond, work.operations / operationsPerSecond)
    }
}
