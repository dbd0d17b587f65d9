// libcurl's multi interface: https://curl.se/libcurl/c/libcurl-multi.html

import CCurl
import Foundation
import Synchronization

/// Sends requests to HTTP servers: thousands at once on one thread of its own, over connections that are reused, with
/// HTTP/2 where a server offers it. Certificates are verified; redirects are not followed, because a key must not go
/// where nobody sent it.
///
/// Proxies are taken from the environment as curl does (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`), and
/// certificate authorities from `SSL_CERT_FILE` and `SSL_CERT_DIR` where the settings name none.
package final class Upstream: Sendable {
    package struct Settings: Sendable {
        /// Transfers at once; more wait their turn.
        package var maxTransfers = 4096
        /// Waiting transfers; more are refused with `.outOfMemory`.
        package var maxWaiting = 1 << 20
        /// Transfers that wait for their connection at once: how many handshakes a burst begins together.
        package var maxOpening = 64
        /// To one host; 0: as many as there are transfers.
        package var maxConnections = 0
        /// Of answers being received, all transfers together.
        package var maxBufferedBytes = 512 << 20
        /// A file of PEM certificates that are trusted; nil, with no folder either: libcurl's own choice.
        package var caFile: String?
        /// Of such files, named by their hashes; looked at where no file is named.
        package var caFolder: String?
        /// nil: the environment's; "": none.
        package var proxy: String?
        /// Offer HTTP/2 over TLS.
        package var offersHTTP2 = true
        package var userAgent = "millrace"

        /// Debian and Ubuntu, Fedora, SUSE; elsewhere libcurl's own way is taken.
        private static let systemFiles = [
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
        ]

        package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
            caFile = environment["SSL_CERT_FILE"].flatMap { $0.isEmpty ? nil : $0 }
            caFolder = environment["SSL_CERT_DIR"].flatMap { $0.isEmpty ? nil : $0 }
            guard caFile == nil, caFolder == nil else { return }
            caFile = Self.systemFiles.first { FileManager.default.isReadableFile(atPath: $0) }
        }
    }

    /// Since the start, but for those of the moment.
    package struct Figures: Sendable, Equatable {
        /// At this moment.
        package var active = 0
        package var waiting = 0
        package var bufferedBytes = 0
        package var finished = 0
        package var failed = 0
        /// Requests that may have reached an upstream whole whose answer did not arrive.
        package var cutOff = 0
        package var connections = 0
    }

    package typealias Handler = @Sendable (UpstreamReply) -> Void

    private let control: TransferControl
    private let nextID = Atomic<UInt64>(1)

    /// Starts the thread.
    /// - Throws: when libcurl cannot be set up.
    package init(_ settings: Settings = Settings()) throws(UpstreamFailure) {
        guard Self.isReady, let multi = curl_multi_init() else {
            throw UpstreamFailure(.other, "libcurl cannot be set up: out of memory, or a broken TLS library")
        }
        let control = TransferControl(multi)
        self.control = control
        let thread = Thread { TransferLoop(settings, control).run() }
        thread.name = "upstream"
        thread.stackSize = 1 << 20
        thread.start()
    }

    private static let isReady = TransferMemory.setUp() == CURLE_OK

    deinit { control.post(.stop) }

    /// - Parameter then: called exactly once, on the upstream's thread: hand the reply on, do not work there.
    @discardableResult
    package func send(_ request: UpstreamRequest, then: @escaping Handler) -> TransferID {
        let id = TransferID(value: nextID.wrappingAdd(1, ordering: .relaxed).oldValue)
        if !control.post(.start(id, request, then)) {
            then(UpstreamReply(failure: UpstreamFailure(.cancelled, "the client was stopped"), sends: 0))
        }
        return id
    }

    /// Sends and waits. Cancelling the task cancels the transfer.
    package func send(_ request: UpstreamRequest) async -> UpstreamReply {
        let pending = Mutex<TransferID?>(nil)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { done in
                let id = send(request) { done.resume(returning: $0) }
                pending.withLock { $0 = id }
                if Task.isCancelled { cancel(id) }
            }
        } onCancel: {
            if let id = pending.withLock({ $0 }) { cancel(id) }
        }
    }

    /// Ends a transfer; its handler gets a `.cancelled` failure unless it was over before.
    package func cancel(_ id: TransferID) { control.post(.cancel(id)) }

    /// Cancels everything and ends the thread.
    package func stop() { control.post(.stop) }

    package var figures: Figures { control.figures }
}

/// Names a transfer within its `Upstream`.
package struct TransferID: Hashable, Sendable {
    let value: UInt64
}

/// What other threads may touch of the loop: its mailbox, its bell, its figures.
final class TransferControl: Sendable {
    enum Command: Sendable {
        case start(TransferID, UpstreamRequest, Upstream.Handler)
        case cancel(TransferID)
        case stop
    }

    private struct State {
        var commands: [Command] = []
        var isClosed = false
    }

    /// Used by the loop's thread, but for `curl_multi_wakeup`, which any thread may call as long as the handle lives:
    /// it is called with the lock held, and the handle is freed with `isClosed` set.
    nonisolated(unsafe) let multi: UnsafeMutableRawPointer
    private let state = Mutex(State())
    private let shared = Mutex(Upstream.Figures())

    init(_ multi: UnsafeMutableRawPointer) { self.multi = multi }

    /// - Returns: false when the loop has ended, and nobody will take the command.
    @discardableResult
    func post(_ command: Command) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.commands.append(command)
            if state.commands.count == 1 { curl_multi_wakeup(multi) }
            return true
        }
    }

    func take() -> [Command] {
        state.withLock { state in
            let taken = state.commands
            state.commands.removeAll(keepingCapacity: true)
            return taken
        }
    }

    /// The loop's last act; what was posted until now is returned, and nothing can be posted any more.
    func close() -> [Command] {
        state.withLock { state in
            state.isClosed = true
            curl_multi_cleanup(multi)
            defer { state.commands = [] }
            return state.commands
        }
    }

    var figures: Upstream.Figures {
        get { shared.withLock { $0 } }
        set { shared.withLock { $0 = newValue } }
    }
}
