/// One sampled token, for `BatchScheduler.commit`.
package struct SampledToken: Sendable, Equatable {
    package var id: SequenceID
    package var token: Int32

    package init(_ id: SequenceID, _ token: Int32) {
        self.id = id
        self.token = token
    }
}
