import CCurl
import Foundation

/// The upstream's thread: starts transfers, moves their bytes, ends them.
final class TransferLoop {
    private let settings: Upstream.Settings
    private let control: TransferControl
    private let multi: UnsafeMutableRawPointer

    private var active: [TransferID: Transfer] = [:]
    private var byHandle: [UnsafeMutableRawPointer: TransferID] = [:]
    /// First in, first out from `waitingHead`.
    private var waiting: [Transfer?] = []
    private var waitingHead = 0
    /// Where a waiting transfer stands, to cancel it.
    private var waitingAt: [TransferID: Int] = [:]
    private var idleHandles: [UnsafeMutableRawPointer] = []
    private var isStopping = false
    private var nextCheckMs: Int64 = 0
    private var figures = Upstream.Figures()
    private let ledger: TransferLedger

    private static let checkEveryMs: Int64 = 50
    private static let maxIdleHandles = 256
    /// With many transfers each look at all of them costs, so a moment is waited for more of them to have news.
    private static let manyTransfers = 256
    private static let breathUs: UInt32 = 1000

    init(_ settings: Upstream.Settings, _ control: TransferControl) {
        self.settings = settings
        self.control = control
        multi = control.multi
        ledger = TransferLedger(settings.maxBufferedBytes)
        _ = millrace_curl_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_MULTIPLEX))
        _ = millrace_curl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, settings.maxConnections)
        _ = millrace_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, settings.maxTransfers)
    }

    func run() {
        while true {
            for command in control.take() { obey(command) }
            startWaiting()
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            finishDone()
            checkClocks()
            publish()
            if isStopping { break }
            var ready: Int32 = 0
            if canStart { continue }
            let isIdle = active.isEmpty && waitingAt.isEmpty
            curl_multi_poll(multi, nil, 0, isIdle ? 60_000 : Int32(Self.checkEveryMs), &ready)
            if active.count > Self.manyTransfers { usleep(Self.breathUs) }
        }
        end()
    }

    private func obey(_ command: TransferControl.Command) {
        switch command {
        case .start(let id, let request, let handler):
            let transfer = Transfer(id, request, ledger, handler)
            guard waitingAt.count < settings.maxWaiting else {
                transfer.failure = UpstreamFailure(
                    .outOfMemory, "\(request.place): \(settings.maxWaiting) requests wait already; send fewer at once")
                return deliver(transfer)
            }
            waitingAt[id] = waiting.count
            waiting.append(transfer)
        case .cancel(let id):
            if let at = waitingAt.removeValue(forKey: id), let transfer = waiting[at] {
                waiting[at] = nil
                fail(transfer, .cancelled, "was cancelled")
            } else if let transfer = active[id] {
                fail(transfer, .cancelled, "was cancelled")
            }
        case .stop: isStopping = true
        }
    }

    private var canStart: Bool {
        waitingHead < waiting.count && active.count < settings.maxTransfers && ledger.opening < settings.maxOpening
    }

    private func startWaiting() {
        while canStart {
            let next = waiting[waitingHead]
            waiting[waitingHead] = nil
            waitingHead += 1
            guard let transfer = next else { continue }
            waitingAt[transfer.id] = nil
            start(transfer)
        }
        guard waitingHead > 0, waitingHead == waiting.count || waitingHead > 4096 else { return }
        waiting.removeFirst(waitingHead)
        for (id, at) in waitingAt { waitingAt[id] = at - waitingHead }
        waitingHead = 0
    }

    private func start(_ transfer: Transfer) {
        guard let easy = idleHandles.popLast() ?? curl_easy_init() else {
            return fail(transfer, .outOfMemory, "no memory for another transfer")
        }
        guard transfer.prepare(easy, settings) else {
            idle(easy)
            return fail(transfer, .unusable, "cannot be sent: its URL or a header is malformed")
        }
        active[transfer.id] = transfer
        byHandle[easy] = transfer.id
        ledger.opening += 1
        let code = curl_multi_add_handle(multi, easy)
        guard code == CURLM_OK else {
            return fail(transfer, .other, "libcurl refused it: \(String(cString: curl_multi_strerror(code)))")
        }
    }

    private func finishDone() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let id = byHandle[easy], let transfer = active[id]
            else { continue }
            transfer.conclude(easy, millrace_curl_message_result(message))
            release(transfer)
            deliver(transfer)
        }
    }

    /// The limits that libcurl has no option for.
    private func checkClocks() {
        let now = Transfer.clockMs()
        guard now >= nextCheckMs else { return }
        nextCheckMs = now + Self.checkEveryMs
        for transfer in active.values {
            guard let (cause, what) = transfer.overdue(at: now) else { continue }
            fail(transfer, cause, what)
        }
    }

    /// Ends a transfer from our side, whether it was started or not.
    private func fail(_ transfer: Transfer, _ cause: UpstreamFailure.Cause, _ what: String) {
        transfer.failure = UpstreamFailure(cause, "\(transfer.request.place): \(what)")
        if let easy = transfer.easy { transfer.measure(easy) }
        release(transfer)
        deliver(transfer)
    }

    private func release(_ transfer: Transfer) {
        guard let easy = transfer.easy else { return }
        curl_multi_remove_handle(multi, easy)
        active[transfer.id] = nil
        byHandle[easy] = nil
        if transfer.sends == 0 { ledger.opening -= 1 }
        transfer.detach()
        idle(easy)
    }

    private func idle(_ easy: UnsafeMutableRawPointer) {
        guard idleHandles.count < Self.maxIdleHandles else { return curl_easy_cleanup(easy) }
        curl_easy_reset(easy)
        idleHandles.append(easy)
    }

    private func deliver(_ transfer: Transfer) {
        let reply = transfer.takeReply()
        figures.finished += 1
        if reply.failure != nil {
            figures.failed += 1
            if reply.mayHaveRun { figures.cutOff += 1 }
        }
        figures.connections += transfer.connections
        transfer.handler(reply)
    }

    private func publish() {
        figures.active = active.count
        figures.waiting = waitingAt.count
        figures.bufferedBytes = ledger.bytes
        if control.figures != figures { control.figures = figures }
    }

    private func end() {
        for transfer in Array(active.values) { fail(transfer, .cancelled, "the client was stopped") }
        for transfer in waiting[waitingHead...].compactMap(\.self) {
            fail(transfer, .cancelled, "the client was stopped")
        }
        for easy in idleHandles { curl_easy_cleanup(easy) }
        waitingAt = [:]
        for case .start(let id, let request, let handler) in control.close() {
            let transfer = Transfer(id, request, ledger, handler)
            fail(transfer, .cancelled, "the client was stopped")
        }
        publish()
    }
}

/// What all transfers of a loop have together; touched by its thread only.
final class TransferLedger {
    let maxBytes: Int
    /// Of answers being received.
    private(set) var bytes = 0
    /// Transfers that have no connection yet.
    var opening = 0

    init(_ maxBytes: Int) { self.maxBytes = maxBytes }

    func take(_ count: Int) -> Bool {
        guard bytes + count <= maxBytes else { return false }
        bytes += count
        return true
    }

    func giveBack(_ count: Int) { bytes -= count }
}
