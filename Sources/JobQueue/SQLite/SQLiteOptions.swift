/// What an operator may set of a queue file's connection.
package struct SQLiteOptions: Sendable {
    /// How long a call waits while another process writes.
    package var busyTimeoutMs = 5000
    /// Pages of the file kept in memory.
    package var cacheBytes = 16 << 20
    /// The file's limit; reaching it is like a full disk. Nil: the disk's.
    package var maxBytes: Int64?
    /// Names new batches.
    package var makeID: @Sendable () -> BatchID = {
        var generator = SystemRandomNumberGenerator()
        return BatchID.random(using: &generator)
    }

    package init() {}
}
