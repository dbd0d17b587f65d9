/// What may be set of a queue on Redis.
package struct RedisOptions: Sendable {
    /// Whose time counts.
    package enum Clock: Sendable {
        /// The server's, so that workers whose clocks differ agree on when leases end.
        case server
        /// That of each call, for tests.
        case caller
    }

    package var clock = Clock.server
    package var connectTimeoutMs = 5_000
    /// A server that does not answer for so long is taken for lost.
    package var callTimeoutMs = 15_000
    /// For rediss://: a file of certificates of authorities, in PEM; nil: `SSL_CERT_FILE`, or else the system's.
    package var authorities: String?
    /// Names new batches.
    package var makeID: @Sendable () -> BatchID = {
        var generator = SystemRandomNumberGenerator()
        return BatchID.random(using: &generator)
    }

    package init() {}
}
