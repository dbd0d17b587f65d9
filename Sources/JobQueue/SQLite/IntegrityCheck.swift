import GRDB

/// Checks a queue file against what must always hold of it (docs/ARCHITECTURE.md: I1, I4, I5), row by row.
/// Each rule is a query for what breaks it; the tables' own constraints keep most of them from ever finding
/// anything.
struct IntegrityCheck {
    let transaction: QueueTransaction

    /// The most findings reported of one rule.
    private static let maxFindings = 20

    func problems() throws -> [String] {
        let pages = try transaction.rows("PRAGMA integrity_check(\(Self.maxFindings))", []) { try $0.text(0) }
        if pages != ["ok"] { return pages.map { "file: \($0)" } }
        var found = try transaction.rows("PRAGMA foreign_key_check", []) { row in
            "table \(try row.text(0)), row \(try row.int64(1)): what it refers to is missing"
        }
        for rule in Self.rules {
            found += try transaction.rows("\(rule.query) LIMIT \(Self.maxFindings)", []) { row in
                "\(try row.text(0)): \(rule.what)"
            }
        }
        return found
    }

    private struct Rule {
        var what: String
        /// Selects a text that names each place where the rule is broken.
        var query: String
    }

    private static let rules = [
        Rule(
            what: "I1: a request must be either pending or ended, and is neither or both",
            query: """
                SELECT 'request ' || (r.key & 4294967295) || ' of batch ' || r.batch FROM request AS r
                WHERE (EXISTS (SELECT 1 FROM pending AS p WHERE p.key = r.key))
                  = (EXISTS (SELECT 1 FROM outcome AS o WHERE o.key = r.key))
                """),
        Rule(
            what: "I1: ordinals must go from 0 to total - 1",
            query: """
                SELECT b.id FROM batch AS b
                LEFT JOIN (SELECT key >> 32 AS seq, count(*) AS n, max(key & 4294967295) AS last FROM request
                  GROUP BY key >> 32) AS r ON r.seq = b.seq
                WHERE coalesce(r.n, 0) <> b.total OR coalesce(r.last + 1, 0) <> b.total
                """),
        Rule(
            what: "requests must be of a batch that is there",
            query: """
                SELECT 'requests of batch number ' || r.batch
                FROM (SELECT DISTINCT key >> 32 AS batch FROM request) AS r
                WHERE NOT EXISTS (SELECT 1 FROM batch AS b WHERE b.seq = r.batch)
                """),
        Rule(
            what: "I4: queued and leased must count the pending requests",
            query: """
                SELECT b.id FROM batch AS b
                LEFT JOIN (SELECT key >> 32 AS seq, sum(state = 'queued') AS queued,
                    sum(state = 'leased') AS leased
                  FROM pending GROUP BY key >> 32) AS p ON p.seq = b.seq
                WHERE coalesce(p.queued, 0) <> b.queued OR coalesce(p.leased, 0) <> b.leased
                """),
        Rule(
            what: "I4: counts and usage must be the sums over outcomes",
            query: """
                SELECT b.id FROM batch AS b
                LEFT JOIN (SELECT batch, sum(state = 'completed') AS completed,
                    sum(state = 'failed') AS failed, sum(state = 'cancelled') AS cancelled,
                    sum(state = 'expired') AS expired,
                    sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion,
                    sum(cached_tokens) AS cached, sum(cost_nanodollars) AS cost
                  FROM outcome GROUP BY batch) AS o ON o.batch = b.seq
                WHERE (b.completed, b.failed, b.cancelled, b.expired, b.prompt_tokens, b.completion_tokens,
                    b.cached_tokens, b.cost_nanodollars)
                  <> (coalesce(o.completed, 0), coalesce(o.failed, 0), coalesce(o.cancelled, 0),
                    coalesce(o.expired, 0), coalesce(o.prompt, 0), coalesce(o.completion, 0),
                    coalesce(o.cached, 0), coalesce(o.cost, 0))
                """),
        Rule(
            what: "a batch's backlog must count its queued requests and their tokens by model",
            query: """
                WITH counted AS (SELECT key >> 32 AS batch, model, count(*) AS queued, sum(cost) AS tokens
                  FROM pending WHERE state = 'queued' GROUP BY 1, 2)
                SELECT b.id FROM batch AS b WHERE EXISTS (
                    SELECT batch, model, queued, tokens FROM backlog WHERE batch = b.seq AND queued > 0
                    EXCEPT SELECT * FROM counted WHERE batch = b.seq)
                  OR EXISTS (SELECT * FROM counted WHERE batch = b.seq
                    EXCEPT SELECT batch, model, queued, tokens FROM backlog WHERE batch = b.seq)
                  OR EXISTS (SELECT 1 FROM backlog WHERE batch = b.seq AND queued = 0 AND tokens <> 0)
                """),
        Rule(
            what: "a pending request's model and cost must be its request's",
            query: """
                SELECT 'request ' || (r.key & 4294967295) || ' of batch ' || r.batch
                FROM pending AS p JOIN request AS r ON r.key = p.key
                WHERE r.model IS NOT p.model OR r.cost IS NOT p.cost
                """),
        Rule(
            what: "a tenant with leasable requests must have a share",
            query: """
                SELECT DISTINCT b.tenant FROM batch AS b WHERE b.state = 'in_progress' AND b.queued > 0
                  AND NOT EXISTS (SELECT 1 FROM share AS s WHERE s.priority = b.priority AND s.tenant = b.tenant)
                """),
        Rule(
            what: "I4: the usage ledger must have the sums over outcomes",
            query: """
                WITH outcomes AS (
                  SELECT CASE WHEN o.settled_at >= 0 THEN o.settled_at / 86400000
                      ELSE (o.settled_at - 86399999) / 86400000 END AS day,
                    b.tenant, coalesce(r.model, (SELECT id FROM model WHERE name = x'')) AS model, o.backend,
                    sum(o.state = 'completed') AS completed, sum(o.state <> 'completed') AS unsuccessful,
                    sum(o.prompt_tokens) AS prompt, sum(o.completion_tokens) AS completion,
                    sum(o.cached_tokens) AS cached, sum(o.cost_nanodollars) AS cost
                  FROM outcome AS o JOIN request AS r ON r.key = o.key JOIN batch AS b ON b.seq = o.batch
                  GROUP BY 1, 2, 3, 4),
                sums AS (
                  SELECT coalesce(u.day, o.day) AS day, coalesce(u.tenant, o.tenant) AS tenant,
                    (u.completed, u.unsuccessful, u.prompt_tokens, u.completion_tokens, u.cached_tokens,
                      u.cost_nanodollars)
                      IS (o.completed, o.unsuccessful, o.prompt, o.completion, o.cached, o.cost) AS same,
                    u.completed >= coalesce(o.completed, 0) AND u.unsuccessful >= coalesce(o.unsuccessful, 0)
                      AND u.prompt_tokens >= coalesce(o.prompt, 0)
                      AND u.completion_tokens >= coalesce(o.completion, 0)
                      AND u.cached_tokens >= coalesce(o.cached, 0)
                      AND u.cost_nanodollars >= coalesce(o.cost, 0) AS covers
                  FROM usage AS u FULL JOIN outcomes AS o ON o.day = u.day AND o.tenant = u.tenant
                    AND o.model = u.model AND o.backend = u.backend)
                SELECT 'tenant ' || tenant || ', day ' || day FROM sums
                WHERE NOT coalesce(CASE WHEN (SELECT value FROM flag WHERE name = 'forgotten') = 0 THEN same
                  ELSE covers END, 0)
                """),
        Rule(
            what: "completion numbers must go from 1 to the number of outcomes",
            query: """
                SELECT b.id FROM batch AS b JOIN (SELECT batch, count(*) AS n, max(completion) AS last
                  FROM outcome GROUP BY batch) AS o ON o.batch = b.seq WHERE o.n <> o.last
                """),
        Rule(
            what: "a custom_id that is not its request's own must be another's, or made up for a refused one",
            query: """
                SELECT 'request ' || (r.key & 4294967295) || ' of batch ' || r.batch FROM request AS r
                WHERE r.owns_id = 0 AND r.endpoint IS NOT NULL AND NOT EXISTS (SELECT 1 FROM request AS f
                  WHERE f.batch = r.batch AND f.custom_id = r.custom_id AND f.owns_id = 1 AND f.key < r.key)
                """),
    ]
}
