import JSON
import JobQueue

/// From a leased request to what the engine runs, or to the error outcome that it ends as. Pure but for tokenizing.
package struct Intake: Sendable {
    package var model: ServedModel

    package init(model: ServedModel) { self.model = model }

    func plan(_ leased: LeasedRequest) throws(OutcomeError) -> RequestPlan {
        let json: JSON
        do throws(JSONSyntaxError) {
            json = try JSON(parsing: leased.request.body)
        } catch {
            throw OutcomeError(code: "invalid_json", message: "the body is not JSON: \(error)")
        }
        let body = try CompletionBody.parse(json, endpoint: leased.request.endpoint)
        return try RequestPlan(leased, body: body, model: model)
    }

    func response(_ plan: RequestPlan, _ sequences: [GeneratedSequence], at now: Timestamp) -> ResponseBody {
        ResponseBody(plan, sequences, model: model, created: now)
    }
}
