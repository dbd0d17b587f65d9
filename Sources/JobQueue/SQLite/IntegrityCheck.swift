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
                    sum(cached_tokens) AS cached
                  FROM outcome GROUP BY batch) AS o ON o.batch = b.seq
                WHERE (b.completed, b.failed, b.cancelled, b.expired, b.prompt_tokens, b.completion_tokens,
                    b.cached_tokens)
                  <> (coalesce(o.completed, 0), coalesce(o.failed, 0), coalesce(o.cancelled, 0),
                    coalesce(o.expired, 0), coalesce(o.prompt, 0), coalesce(o.completion, 0),
                    coalesce(o.cached, 0))
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
