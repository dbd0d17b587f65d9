import CCurl
import Foundation

/// One request on its way. Touched by the upstream's thread only.
final class Transfer {
    let id: TransferID
    let request: UpstreamRequest
    let handler: Upstream.Handler
    private let ledger: TransferLedger

    /// While it is under way.
    private(set) var easy: UnsafeMutableRawPointer?
    private var headerList: UnsafeMutablePointer<curl_slist>?
    private var errorText: UnsafeMutablePointer<CChar>?

    private let acceptedMs = Transfer.clockMs()
    private var startedMs: Int64 = 0
    private var sentAtMs: Int64 = 0
    private var lastByteMs: Int64 = 0
    /// How often the request was put on a connection: libcurl repeats what a stale connection swallowed.
    private(set) var sends = 0
    private var status = 0
    private var headers: [UpstreamHeader] = []
    private var body: [UInt8] = []
    private var timings = UpstreamTimings()
    private var usesHTTP2 = false
    private(set) var connections = 0
    var failure: UpstreamFailure?

    private static let maxHeaderBytes = 1024
    private static let maxHeaders = 64

    init(
        _ id: TransferID, _ request: UpstreamRequest, _ ledger: TransferLedger, _ handler: @escaping Upstream.Handler
    ) {
        self.id = id
        self.request = request
        self.ledger = ledger
        self.handler = handler
    }

    deinit { detach() }

    static func clockMs() -> Int64 { Int64(clock_gettime_nsec() / 1_000_000) }

    // MARK: Sending

    /// Sets a handle up, which the transfer then borrows until `detach`.
    /// - Returns: false when it cannot be sent.
    func prepare(_ easy: UnsafeMutableRawPointer, _ settings: Upstream.Settings) -> Bool {
        guard request.isWellFormed, millrace_curl_set_text(easy, CURLOPT_URL, request.url) == CURLE_OK else {
            return false
        }
        let context = Unmanaged.passUnretained(self).toOpaque()
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
        text.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        errorText = text
        _ = millrace_curl_set_pointer(easy, CURLOPT_ERRORBUFFER, text)
        _ = millrace_curl_only_http(easy)
        set(easy, CURLOPT_NOSIGNAL, 1)
        set(easy, CURLOPT_FOLLOWLOCATION, 0)
        set(easy, CURLOPT_TCP_KEEPALIVE, 1)
        set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        // Small buffers: there are thousands of them.
        set(easy, CURLOPT_BUFFERSIZE, 2 << 10)
        set(easy, CURLOPT_UPLOAD_BUFFERSIZE, TransferMemory.bufferBytes)
        // The first transfer to a host finds out whether it multiplexes, instead of each opening a connection. Without
        // TLS that is known with the first answer only, which would be waited for.
        let mayMultiplex = settings.offersHTTP2 && request.baseURL.hasPrefix("https:")
        set(easy, CURLOPT_PIPEWAIT, mayMultiplex ? 1 : 0)
        set(easy, CURLOPT_DNS_CACHE_TIMEOUT, 300)
        set(easy, CURLOPT_HTTP_VERSION, settings.offersHTTP2
            ? Int(CURL_HTTP_VERSION_2TLS) : Int(CURL_HTTP_VERSION_1_1))
        set(easy, CURLOPT_CONNECTTIMEOUT_MS, Int(max(1, request.timeouts.connectMs)))
        set(easy, CURLOPT_SSL_VERIFYPEER, 1)
        set(easy, CURLOPT_SSL_VERIFYHOST, 2)
        // A file alone libcurl reads once for all connections; with a folder beside it, once for each, and
        // keeps a megabyte every time. libcurl has a folder of its own unless it is told otherwise.
        if settings.caFile != nil {
            _ = millrace_curl_set_text(easy, CURLOPT_CAPATH, nil)
        } else if let folder = settings.caFolder {
            _ = millrace_curl_set_text(easy, CURLOPT_CAPATH, folder)
        }
        for (option, value) in [
            (CURLOPT_CAINFO, settings.caFile), (CURLOPT_PROXY, settings.proxy),
            (CURLOPT_USERAGENT, settings.userAgent), (CURLOPT_ACCEPT_ENCODING, "gzip"),
        ] {
            if let value { _ = millrace_curl_set_text(easy, option, value) }
        }
        if request.method == .delete { _ = millrace_curl_set_text(easy, CURLOPT_CUSTOMREQUEST, "DELETE") }
        if request.method == .post {
            set(easy, CURLOPT_POST, 1)
            _ = millrace_curl_set_offset(easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(request.body.count))
            let copied = request.body.withUnsafeBytes { bytes in
                // An empty array has no address, and null would mean that the body is read from elsewhere.
                millrace_curl_set_pointer(
                    easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: bytes.baseAddress ?? .init(text)))
            }
            guard copied == CURLE_OK else { return false }
        }
        guard appendHeaders() else { return false }
        _ = millrace_curl_set_pointer(easy, CURLOPT_HTTPHEADER, headerList)
        _ = millrace_curl_set_data(easy, CURLOPT_HEADERFUNCTION, Self.onHeader)
        _ = millrace_curl_set_pointer(easy, CURLOPT_HEADERDATA, context)
        _ = millrace_curl_set_data(easy, CURLOPT_WRITEFUNCTION, Self.onBody)
        _ = millrace_curl_set_pointer(easy, CURLOPT_WRITEDATA, context)
        _ = millrace_curl_set_before_request(easy, Self.onSend, context)
        self.easy = easy
        startedMs = Self.clockMs()
        return true
    }

    private func set(_ easy: UnsafeMutableRawPointer, _ option: CURLoption, _ value: Int) {
        _ = millrace_curl_set_long(easy, option, value)
    }

    private func appendHeaders() -> Bool {
        var lines = ["Accept: application/json"]
        if request.method == .post {
            lines.append("Content-Type: \(request.contentType)")
            // An upstream that does not know 100-continue would cost a second.
            lines.append("Expect:")
        }
        if let key = request.key {
            lines.append(key.withSecret { "Authorization: Bearer " + String(decoding: $0, as: UTF8.self) })
        }
        lines += request.headers.map { "\($0.name): \($0.value)" }
        for line in lines {
            guard let longer = curl_slist_append(headerList, line) else { return false }
            headerList = longer
        }
        return true
    }

    private static let onSend: curl_prereq_callback = { context, _, _, _, _ in
        guard let context else { return Int32(CURL_PREREQFUNC_ABORT) }
        let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
        if transfer.sends == 0 { transfer.ledger.opening -= 1 }
        transfer.sends += 1
        transfer.sentAtMs = clockMs()
        return Int32(CURL_PREREQFUNC_OK)
    }

    // MARK: Receiving

    private static let onHeader: millrace_curl_data = { bytes, size, count, context in
        guard let context, let bytes else { return 0 }
        let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
        Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().takeHeader(line)
        return size * count
    }

    private func takeHeader(_ line: UnsafeRawBufferPointer) {
        lastByteMs = Self.clockMs()
        if line.starts(with: "HTTP/".utf8) {
            // The last of several heads counts: there may be interim answers before it.
            headers = []
            return
        }
        guard line.count <= Self.maxHeaderBytes, headers.count < Self.maxHeaders,
            let colon = line.firstIndex(of: UInt8(ascii: ":"))
        else { return }
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        guard UpstreamReply.keeps(name) else { return }
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
        headers.append(UpstreamHeader(name, value.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    private static let onBody: millrace_curl_data = { bytes, size, count, context in
        guard let context, let bytes else { return 0 }
        let part = UnsafeRawBufferPointer(start: bytes, count: size * count)
        let isTaken = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue().takeBody(part)
        // Taking less than was offered ends the transfer.
        return isTaken ? size * count : 0
    }

    private func takeBody(_ part: UnsafeRawBufferPointer) -> Bool {
        lastByteMs = Self.clockMs()
        guard !part.isEmpty else { return true }
        guard body.count + part.count <= request.maxReplyBytes else {
            failure = UpstreamFailure(
                .tooLarge, "\(request.place): the answer has more than \(request.maxReplyBytes) bytes")
            return false
        }
        guard ledger.take(part.count) else {
            failure = UpstreamFailure(
                .outOfMemory, "\(request.place): answers being received have \(ledger.maxBytes) bytes together")
            return false
        }
        body += part
        return true
    }

    // MARK: Ending

    /// A limit that has passed.
    func overdue(at now: Int64) -> (UpstreamFailure.Cause, String)? {
        let limits = request.timeouts
        if now - acceptedMs > limits.totalMs {
            return (.totalTimeout, "no whole answer within \(limits.totalMs) ms")
        }
        if sends == 0 { return nil }
        if lastByteMs < sentAtMs {
            guard now - sentAtMs > limits.firstByteMs else { return nil }
            return (.firstByteTimeout, "no answer within \(limits.firstByteMs) ms of the request")
        }
        guard now - lastByteMs > limits.stallMs else { return nil }
        return (.stall, "the answer stopped for \(limits.stallMs) ms after \(body.count) bytes of its body")
    }

    func conclude(_ easy: UnsafeMutableRawPointer, _ code: CURLcode) {
        measure(easy)
        guard code != CURLE_OK, failure == nil else { return }
        let detail = errorText.map { String(cString: $0) } ?? ""
        failure = UpstreamFailure(
            code, detail: detail.isEmpty ? String(cString: curl_easy_strerror(code)) : detail, at: request.place,
            wasSent: sends > 0, hasBegun: status > 0)
    }

    func measure(_ easy: UnsafeMutableRawPointer) {
        func offset(_ info: CURLINFO) -> Int64 {
            var value: curl_off_t = 0
            return millrace_curl_get_offset(easy, info, &value) == CURLE_OK ? Int64(value) : 0
        }
        func long(_ info: CURLINFO) -> Int {
            var value = 0
            return millrace_curl_get_long(easy, info, &value) == CURLE_OK ? value : 0
        }
        status = long(CURLINFO_RESPONSE_CODE)
        usesHTTP2 = long(CURLINFO_HTTP_VERSION) == Int(CURL_HTTP_VERSION_2_0)
        connections = long(CURLINFO_NUM_CONNECTS)
        let waitedMs = max(0, startedMs - acceptedMs)
        func reached(_ info: CURLINFO) -> Int64 {
            let us = offset(info)
            return us > 0 ? waitedMs + us / 1000 : 0
        }
        timings.connectedMs = max(reached(CURLINFO_CONNECT_TIME_T), reached(CURLINFO_APPCONNECT_TIME_T))
        timings.sentMs = reached(CURLINFO_PRETRANSFER_TIME_T)
        timings.firstByteMs = reached(CURLINFO_STARTTRANSFER_TIME_T)
    }

    /// Lets go of the handle and of what it points to, which must not be in use any more.
    func detach() {
        easy = nil
        curl_slist_free_all(headerList)
        headerList = nil
        errorText?.deallocate()
        errorText = nil
    }

    func takeReply() -> UpstreamReply {
        timings.totalMs = Self.clockMs() - acceptedMs
        ledger.giveBack(body.count)
        var taken: [UInt8] = []
        swap(&taken, &body)
        if let key = request.key { taken = key.redacted(taken) }
        return UpstreamReply(
            status: status, headers: headers, body: taken, timings: timings, failure: failure, sends: sends,
            usesHTTP2: usesHTTP2)
    }
}

private func clock_gettime_nsec() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
