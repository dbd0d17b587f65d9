// Sources: https://console.groq.com/docs/errors, https://platform.openai.com/docs/guides/error-codes

import JSON
import JobQueue

/// What a reply means for the request and for its route. docs/upstreams.md has the table.
package enum UpstreamVerdict: Sendable, Equatable {
    case answered(UpstreamAnswer)
    /// The same request would be refused again, here and everywhere like here: it fails, its neighbours go on.
    case refused(OutcomeError)
    /// The upstream took the request not on, for want of room or of budget; nothing was computed.
    case later(OutcomeError, afterMs: Int64?)
    /// Something broke; the request counts an attempt and is tried again.
    case broken(OutcomeError, afterMs: Int64?)
    /// Nothing that is sent this way can succeed until somebody changes something.
    case parked(OutcomeError, scope: ParkScope)

    package enum ParkScope: Sendable, Equatable {
        /// The key, the account or the address is wrong: every model of the route.
        case route
        /// Only this model, as the upstream names it.
        case model
    }

    /// - Parameters:
    ///   - backend: the upstream's name, for messages.
    ///   - model: the upstream's name of the model.
    package init(_ reply: UpstreamReply, backend: String, model: String, isMapped: Bool) {
        if let failure = reply.failure {
            self = Self.failed(failure, backend)
        } else if reply.status == 200 {
            if let answer = UpstreamAnswer(reply, isMapped: isMapped) {
                self = .answered(answer)
            } else {
                let start = String(decoding: reply.body.prefix(80), as: UTF8.self)
                self = Self.failed(
                    UpstreamFailure(.notJSON, "the answer is no completion in JSON; it begins '\(start)'"), backend)
            }
        } else {
            let words = UpstreamErrorBody(reply)
            self = Self.spoken(words, reply, backend: backend, model: model)
        }
    }

    private static func failed(_ failure: UpstreamFailure, _ backend: String) -> UpstreamVerdict {
        let error = OutcomeError(
            code: "upstream_\(failure.cause.rawValue)", message: "\(backend): \(failure.message)", statusCode: 502)
        switch failure.cause {
        case .unusable: return .parked(error, scope: .route)
        case .outOfMemory, .cancelled: return .later(error, afterMs: nil)
        default: return .broken(error, afterMs: nil)
        }
    }

    /// Codes first: they say more than statuses, which servers choose in different ways.
    private static func spoken(
        _ words: UpstreamErrorBody, _ reply: UpstreamReply, backend: String, model: String
    ) -> UpstreamVerdict {
        let error = OutcomeError(
            code: words.code, message: "\(backend) answered \(reply.status): \(words.message)",
            parameter: words.parameter, statusCode: reply.status)
        let afterMs = reply.limits.retryAfterMs
        switch words.code {
        case "model_decommissioned", "model_not_found", "model_not_active", "model_terms_required",
            "model_permission_blocked_org", "model_permission_blocked_project":
            return .parked(error, scope: .model)
        case "invalid_api_key", "insufficient_quota", "organization_restricted", "account_deactivated",
            "billing_not_active", "project_restricted":
            return .parked(error, scope: .route)
        case "rate_limit_exceeded"
        where reply.status == 413 || words.message.hasPrefix("Request too large"):
            // More tokens than the limit of a whole minute: it would never fit. Groq says so with 413, OpenAI with 429.
            return .refused(error)
        default: break
        }
        switch reply.status {
        case 400, 405, 406, 410, 411, 413, 414, 415, 422, 424, 431: return .refused(error)
        case 401, 402, 403, 407: return .parked(error, scope: .route)
        // An unknown model has its own code with every known server but the oldest, which say it in words.
        case 404: return .parked(error, scope: words.message.contains(model) ? .model : .route)
        case 429, 498: return .later(error, afterMs: afterMs)
        case 408, 409, 425, 499, 500...: return .broken(error, afterMs: afterMs)
        // A redirect is not followed; other successes are no completions.
        case 300..<400: return .parked(error, scope: .route)
        case 200..<300: return .broken(error, afterMs: afterMs)
        default: return .refused(error)
        }
    }
}

/// What an upstream's error says, in OpenAI's form or what comes near it.
struct UpstreamErrorBody: Equatable {
    var code: String
    var message: String
    var parameter: String?

    private static let maxMessageBytes = 1000

    init(_ reply: UpstreamReply) {
        let json = try? JSON(parsing: reply.body)
        // OpenAI: {"error": {…}}; vLLM of old: {"object": "error", …}; Starlette: {"detail": …}.
        let error = json?["error"]?.object != nil ? json?["error"] : json
        let text = error?["message"]?.string ?? json?["error"]?.string ?? json?["detail"]?.string
        let raw = text ?? String(decoding: reply.body.prefix(Self.maxMessageBytes), as: UTF8.self)
        message = raw.isEmpty ? Self.words(reply.status) : Self.cut(raw)
        code = error?["code"]?.string ?? Self.code(reply.status)
        parameter = error?["param"]?.string
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= maxMessageBytes ? text : String(text.unicodeScalars.prefix(maxMessageBytes)) + "…"
    }

    private static func code(_ status: Int) -> String {
        switch status {
        case 401: "invalid_api_key"
        case 403: "permission_denied"
        case 404: "not_found"
        case 408: "request_timeout"
        case 409: "conflict"
        case 413: "request_too_large"
        case 422: "unprocessable_entity"
        case 424: "failed_dependency"
        case 429: "rate_limit_exceeded"
        case 498: "capacity_exceeded"
        case 499: "request_cancelled"
        case 500...: "upstream_error"
        default: "invalid_request"
        }
    }

    private static func words(_ status: Int) -> String {
        switch status {
        case 429: "too many requests"
        case 498: "no capacity for the flex tier now"
        case 500...: "the server failed and said nothing"
        default: "no reason given"
        }
    }
}
