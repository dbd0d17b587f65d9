import Foundation
import JSON
import JobQueue

/// One `millrace submit`: a file becomes a batch of a queue that others work on.
package struct Submission: Sendable {
    /// A file, or `-` for standard input.
    package var input: String
    /// Nil: known by the input's name.
    package var format: BatchFormat?
    /// What the batch is to be; an idempotency key of nil is derived from the input.
    package var specification: BatchSpecification
    /// Fills requests that are silent.
    package var defaults: RequestDefaults
    /// A new batch, even if the same input was submitted before.
    package var isAnew: Bool
    package var lineBytesMax: Int

    package init(
        input: String, format: BatchFormat? = nil, specification: BatchSpecification,
        defaults: RequestDefaults = RequestDefaults(), isAnew: Bool = false,
        lineBytesMax: Int = BatchFile.lineBytesMax
    ) {
        self.input = input
        self.format = format
        self.specification = specification
        self.defaults = defaults
        self.isAnew = isAnew
        self.lineBytesMax = lineBytesMax
    }

    package struct Report: Sendable, Equatable {
        package var status: BatchStatus
        /// The batch had been submitted before, whole.
        package var wasKnown: Bool
        /// What the batch has otherwise than this submission asked for, since the first one stands.
        package var differences: [String]

        package var json: JSON {
            guard case .object(var object) = status.json else { return status.json }
            object["already_submitted"] = .bool(wasKnown)
            return .object(object)
        }

        /// For people, beside the batch's id.
        package var text: String {
            let counts = status.counts
            var lines: [String] = []
            if wasKnown {
                lines.append(
                    "submitted before, with the same contents: the batch is \(status.state.rawValue), and nothing was "
                        + "queued (--anew submits it once more)")
            } else {
                let refused = counts.failed > 0 ? ", \(counts.failed.grouped) refused (see their results)" : ""
                lines.append("\((counts.total - counts.failed).grouped) requests queued\(refused)")
            }
            for difference in differences { lines.append("the batch keeps " + difference) }
            return lines.joined(separator: "\n")
        }
    }

    /// - Throws: `BatchInputError`, `CommandFailure`, `JobQueueError`. The same call goes on where one was cut off.
    package func run(on queue: any JobQueue, now: @escaping @Sendable () -> Timestamp) async throws -> Report {
        try BatchInput.check(input)
        try Self.check(specification)
        let input = try BatchInput(
            path: input, format: format, spoolFolder: FileManager.default.temporaryDirectory.path)
        var wanted = specification
        wanted.metadata[RunIdentity.inputName] = input.name
        wanted.idempotencyKey = specification.idempotencyKey ?? derivedKey(input)
        let batch = try await queue.open(wanted, at: now())
        let before = try await queue.status(batch)
        let wasKnown = before.acceptedAt != nil
        // A key that the user chose says nothing of the contents: the store compares them.
        if !wasKnown || specification.idempotencyKey != nil {
            try await BatchUpload(queue: queue, batch: batch, now: now).send(
                input, defaults: defaults, lineBytesMax: lineBytesMax)
        }
        return Report(
            status: try await queue.status(batch), wasKnown: wasKnown,
            differences: Self.differences(wanted, before.specification))
    }

    /// The same file with the same defaults is the same batch, whatever its name and the place it lies in; a tenant's
    /// keys are its own.
    private func derivedKey(_ input: BatchInput) -> String {
        if isAnew { return "anew-" + UUID().uuidString.lowercased() }
        var entries = [
            "input.hash": input.fingerprint.hex, "input.bytes": String(input.fingerprint.bytes),
            "input.format": input.format.rawValue,
        ]
        for (name, value) in defaults.parameters.members { entries["default.\(name)"] = value.text }
        return RunIdentity.idempotencyKey("submit", entries)
    }

    private static func check(_ specification: BatchSpecification) throws(CommandFailure) {
        guard !specification.tenant.isEmpty else { throw .input("--tenant is empty; leave it out or name one") }
        guard specification.metadata.count <= 15 else {
            throw .input("--metadata: \(specification.metadata.count) pairs, more than the 15 that a batch may have")
        }
        for (name, value) in specification.metadata {
            guard (1...64).contains(name.count), value.count <= 512 else {
                throw .input(
                    "--metadata \(LineFault.quoted(name)): names have 1 to 64 characters and values up to 512")
            }
            guard name != RunIdentity.inputName else {
                throw .input("--metadata \(name) is what the input's name is kept under; choose another name")
            }
        }
    }

    private static func differences(_ wanted: BatchSpecification, _ has: BatchSpecification) -> [String] {
        var found: [String] = []
        if wanted.priority != has.priority {
            found.append("its priority, \(has.priority), not \(wanted.priority)")
        }
        if wanted.completionWindowMs != has.completionWindowMs { found.append("its completion window") }
        if wanted.retentionMs != has.retentionMs { found.append("its retention") }
        if wanted.maxAttempts != has.maxAttempts { found.append("its number of attempts, \(has.maxAttempts)") }
        func own(_ metadata: [String: String]) -> [String: String] {
            metadata.filter { $0.key != RunIdentity.inputName }
        }
        if own(wanted.metadata) != own(has.metadata) { found.append("its metadata") }
        return found
    }
}
