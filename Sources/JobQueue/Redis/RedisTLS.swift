import CTLS
import Foundation

/// TLS over a connection's socket, by OpenSSL: hiredis 0.14 has none, and that of later versions does not check whose
/// certificate it is shown. Lives on the connection's thread.
///
/// The server is verified: its chain by the authorities of `SSL_CERT_FILE` or, without it, the system's; its name by
/// the certificate's. TLS 1.2 or later.
///
/// Sources: https://docs.openssl.org/3.0/man3/SSL_connect/, https://docs.openssl.org/3.0/man3/SSL_set1_host/,
/// https://docs.openssl.org/3.0/man3/SSL_get_error/
final class RedisTLS {
    enum Failure: Error {
        /// Trying again cannot help.
        case refused(String)
        case lost(String)
    }

    private let session: OpaquePointer

    /// Shakes hands on a connected socket that blocks, with a time limit for reading and writing.
    /// - Parameters:
    ///   - authorities: a file of certificates in PEM; nil: as above.
    ///   - timeoutMs: the socket's, for messages.
    init(
        _ descriptor: Int32, host: String, identity: RedisAddress.ClientCertificate?, authorities: String?,
        timeoutMs: Int
    ) throws(Failure) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw .refused(Self.lastError) }
        defer { SSL_CTX_free(context) }
        _ = mr_tls_require_1_2(context)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
        // Called when the server asks for a certificate and there is none.
        SSL_CTX_set_client_cert_cb(context) { session, _, _ in
            _ = SSL_set_ex_data(session, 0, UnsafeMutableRawPointer(bitPattern: 1))
            return 0
        }
        if let file = authorities ?? ProcessInfo.processInfo.environment["SSL_CERT_FILE"], !file.isEmpty {
            guard SSL_CTX_load_verify_file(context, file) == 1 else {
                throw .refused("\(file) (SSL_CERT_FILE) has no certificates of authorities in PEM: \(Self.lastError)")
            }
        } else {
            _ = SSL_CTX_set_default_verify_paths(context)
        }
        if let identity {
            guard SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1 else {
                throw .refused("\(identity.certificate) (cert=) is no certificate in PEM: \(Self.lastError)")
            }
            guard SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1 else {
                throw .refused(
                    "\(identity.key) (key=) is not the certificate's private key in PEM: \(Self.lastError)")
            }
        }
        guard let session = SSL_new(context) else { throw .refused(Self.lastError) }
        self.session = session
        // A certificate names hosts and addresses in different places.
        if X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) != 1 {
            guard SSL_set1_host(session, host) == 1, mr_tls_set_server_name(session, host) == 1 else {
                throw .refused("\(host) is no host's name")
            }
        }
        guard SSL_set_fd(session, descriptor) == 1 else { throw .refused(Self.lastError) }
        let result = SSL_connect(session)
        if result != 1 { throw Self.handshakeFailure(session, result, host: host, timeoutMs: timeoutMs) }
    }

    deinit { SSL_free(session) }

    /// The server asked for a certificate and got none. Whether it insists shows when it cuts the connection.
    var lacksCertificate: Bool { SSL_get_ex_data(session, 0) != nil }

    /// Sends all of it.
    func send(_ bytes: [UInt8], timeoutMs: Int) throws(Failure) {
        guard !bytes.isEmpty else { return }
        ERR_clear_error()
        var count = 0
        // Without partial writes: all or an error.
        let result = bytes.withUnsafeBytes { SSL_write_ex(session, $0.baseAddress, $0.count, &count) }
        if result != 1 { throw Self.failure(session, result, timeoutMs: timeoutMs) }
    }

    /// - Returns: how many bytes came into `buffer`, at least one.
    func receive(_ buffer: inout [UInt8], timeoutMs: Int) throws(Failure) -> Int {
        while true {
            ERR_clear_error()
            var count = 0
            let result = buffer.withUnsafeMutableBytes { SSL_read_ex(session, $0.baseAddress, $0.count, &count) }
            if result == 1 { return count }
            if SSL_get_error(session, result) == SSL_ERROR_WANT_READ, errno == EINTR { continue }
            throw Self.failure(session, result, timeoutMs: timeoutMs)
        }
    }

    private static func handshakeFailure(
        _ session: OpaquePointer, _ result: Int32, host: String, timeoutMs: Int
    ) -> Failure {
        let verdict = SSL_get_verify_result(session)
        if verdict != X509_V_OK {
            let why = String(cString: X509_verify_cert_error_string(verdict))
            if verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH {
                return .refused("the server's certificate is not for \(host) (\(why)): use the name it is for")
            }
            return .refused(
                "the server's certificate is not trusted (\(why)): name a file with its authority's certificate in "
                    + "SSL_CERT_FILE")
        }
        let failure = failure(session, result, timeoutMs: timeoutMs)
        switch failure {
        case .refused(let why):
            return .refused("no TLS connection (\(why)): does the server speak TLS on this port (tls-port)?")
        case .lost(let why):
            return .lost("no TLS connection (\(why)): does the server speak TLS on this port (tls-port)?")
        }
    }

    private static func failure(_ session: OpaquePointer, _ result: Int32, timeoutMs: Int) -> Failure {
        let number = errno
        switch SSL_get_error(session, result) {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .lost("no answer in \(timeoutMs) ms")
        case SSL_ERROR_ZERO_RETURN: return .lost("the server closed it")
        case SSL_ERROR_SYSCALL:
            return .lost(number == 0 ? "the server closed it" : String(cString: strerror(number)))
        default:
            let why = lastError
            // An alert of the server's, or another protocol than TLS. A cut in the middle looks like an error, too.
            return why.contains("unexpected eof") ? .lost("the server closed it") : .refused(why)
        }
    }

    /// What OpenSSL says of the last failure.
    private static var lastError: String {
        let code = ERR_peek_last_error()
        guard code != 0 else { return "OpenSSL does not say why" }
        if let reason = ERR_reason_error_string(code) { return String(cString: reason) }
        // Errors of the system's have no text of OpenSSL's.
        return String(cString: strerror(Int32(truncatingIfNeeded: code & 0x7FFF_FFFF)))
    }
}
