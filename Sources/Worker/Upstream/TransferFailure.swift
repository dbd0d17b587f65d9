// libcurl's results: https://curl.se/libcurl/c/libcurl-errors.html

import CCurl

extension UpstreamRequest {
    /// Method, host and path, for messages.
    var place: String { "\(method.rawValue) \(url)" }

    /// Whether it can be sent: an HTTP URL without a name, password, query or blank, and headers of one line.
    var isWellFormed: Bool {
        guard let scheme = ["https://", "http://"].first(where: baseURL.hasPrefix) else { return false }
        let rest = baseURL.dropFirst(scheme.count)
        guard let first = rest.first, first != "/", !rest.contains("@") else { return false }
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return false }
        let lines = headers.flatMap { [$0.name, $0.value] } + [contentType]
        return lines.allSatisfy { $0.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }
            && headers.allSatisfy { !$0.name.isEmpty && !$0.name.contains(":") }
    }
}

extension UpstreamFailure {
    /// - Parameters:
    ///   - detail: libcurl's own words.
    ///   - place: where it was to go.
    ///   - wasSent: the request was put on a connection.
    ///   - hasBegun: an answer began.
    init(_ code: CURLcode, detail: String, at place: String, wasSent: Bool, hasBegun: Bool) {
        let (cause, advice) = Self.meaning(code, wasSent: wasSent, hasBegun: hasBegun)
        self.init(cause, "\(place): \(detail)" + (advice.isEmpty ? "" : "; \(advice)"))
    }

    private static func meaning(_ code: CURLcode, wasSent: Bool, hasBegun: Bool) -> (Cause, String) {
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY:
            (.resolve, "check the host's name and this machine's name servers")
        case CURLE_COULDNT_CONNECT, CURLE_PROXY: (.connect, "check that the server runs and can be reached from here")
        case CURLE_PEER_FAILED_VERIFICATION:
            (.tls, "the certificate is not trusted; name its authority's file if it is your own")
        case CURLE_SSL_CACERT_BADFILE: (.tls, "the file of trusted certificates cannot be read")
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_ENGINE_NOTFOUND,
            CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_ENGINE_INITFAILED, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS, CURLE_USE_SSL_FAILED:
            (.tls, "")
        case CURLE_OPERATION_TIMEDOUT: wasSent ? (.totalTimeout, "") : (.connectTimeout, "")
        case CURLE_PARTIAL_FILE: (.truncated, "the answer was cut off")
        case CURLE_BAD_CONTENT_ENCODING: (.truncated, "the answer's compression is damaged")
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_GOT_NOTHING, CURLE_HTTP2, CURLE_HTTP2_STREAM,
            CURLE_SSL_SHUTDOWN_FAILED:
            hasBegun ? (.truncated, "the answer was cut off") : (.reset, "the connection broke")
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: (.unusable, "check the upstream's URL")
        case CURLE_OUT_OF_MEMORY: (.outOfMemory, "")
        case CURLE_ABORTED_BY_CALLBACK: (.cancelled, "")
        default: (.other, "")
        }
    }
}
