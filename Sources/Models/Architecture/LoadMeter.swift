import Synchronization

/// How far a checkpoint's weights are on their way to a device; read from anywhere while they are loaded.
package final class LoadMeter: Sendable {
    private let totalBytes = Atomic(0)
    private let loadedBytes = Atomic(0)

    package init() {}

    /// 0 to 1; nil before loading has begun.
    package var share: Double? {
        let total = totalBytes.load(ordering: .relaxed)
        guard total > 0 else { return nil }
        return min(1, Double(loadedBytes.load(ordering: .relaxed)) / Double(total))
    }

    func begin(bytes: Int) {
        loadedBytes.store(0, ordering: .relaxed)
        totalBytes.store(max(bytes, 1), ordering: .relaxed)
    }

    func add(bytes: Int) { loadedBytes.add(bytes, ordering: .relaxed) }
}
