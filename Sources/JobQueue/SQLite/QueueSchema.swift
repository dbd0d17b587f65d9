import GRDB

/// The tables of a queue file, and what tells such a file from another.
///
/// A request is in `request` for good, and besides that in exactly one of two tables: `pending` while it is
/// queued or leased, `outcome` once it has ended. The small rows that change at every lease stay apart from
/// the bodies, which never change, so that a lease rewrites a few bytes; and "exactly one outcome" is a
/// primary key.
///
/// Sources: https://www.sqlite.org/stricttables.html, https://www.sqlite.org/gencol.html,
/// https://www.sqlite.org/partialindex.html, https://www.sqlite.org/pragma.html#pragma_application_id
package enum QueueSchema {
    /// "MilQ" in ASCII, in the file's header.
    package static let applicationID: Int64 = 0x4D69_6C51
    /// Grows with each change of the tables; a program refuses files of a later version.
    package static let version: Int64 = 4
    /// Files from this version on are brought up to date when they are opened.
    package static let oldestVersion: Int64 = 3
    /// Requests that one batch can hold: ordinals have 32 bits of a key.
    package static let maxOrdinals = 1 << 32
    /// Bytes of one body; SQLite itself ends at a billion.
    package static let maxBodyBytes = 256 << 20

    /// What an outcome cost, in billionths of a dollar; its default is what an older file's rows get.
    private static let cost = "cost_nanodollars INTEGER NOT NULL DEFAULT 0 CHECK (cost_nanodollars >= 0)"

    /// What makes a file of each version one of the next.
    private static let upgrades: [Int64: [String]] = [
        3: ["batch", "outcome", "usage"].map { "ALTER TABLE \($0) ADD COLUMN \(cost)" }
    ]

    static let tables = """
        CREATE TABLE batch (
          seq INTEGER PRIMARY KEY CHECK (seq BETWEEN 1 AND 2147483647), -- counts batches in order of opening
          id TEXT NOT NULL UNIQUE,                -- as clients know it
          tenant TEXT NOT NULL,
          priority INTEGER NOT NULL,              -- larger first
          window_ms INTEGER CHECK (window_ms > 0),
          idempotency_key TEXT,
          seed INTEGER NOT NULL,                  -- bit pattern of an unsigned number
          max_attempts INTEGER NOT NULL CHECK (max_attempts >= 1),
          metadata TEXT NOT NULL,                 -- JSON object of strings
          retention_ms INTEGER CHECK (retention_ms > 0),
          state TEXT NOT NULL CHECK (state IN
            ('validating', 'in_progress', 'cancelling', 'completed', 'cancelled', 'expired')),
          created_at INTEGER NOT NULL,            -- times are milliseconds since 1970-01-01 UTC
          accepted_at INTEGER,                    -- when it was sealed
          deadline INTEGER,                       -- accepted_at + window_ms
          ended_at INTEGER,
          forget_at INTEGER,                      -- ended_at + retention_ms
          paused_for TEXT,                        -- why nothing of it is leased; null: it is
          -- Requests by state, and usage summed over outcomes: kept by the transaction that changes the rows.
          total INTEGER NOT NULL CHECK (total BETWEEN 0 AND 4294967296),
          queued INTEGER NOT NULL CHECK (queued >= 0),
          leased INTEGER NOT NULL CHECK (leased >= 0),
          completed INTEGER NOT NULL CHECK (completed >= 0),
          failed INTEGER NOT NULL CHECK (failed >= 0),
          cancelled INTEGER NOT NULL CHECK (cancelled >= 0),
          expired INTEGER NOT NULL CHECK (expired >= 0),
          prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
          completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
          cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
          \(cost),
          UNIQUE (tenant, idempotency_key),
          CHECK (total = queued + leased + completed + failed + cancelled + expired),
          CHECK ((state IN ('completed', 'cancelled', 'expired')) = (ended_at IS NOT NULL)),
          CHECK (ended_at IS NULL OR queued + leased = 0),
          CHECK (ended_at IS NULL OR paused_for IS NULL),
          CHECK (state <> 'in_progress' OR queued + leased > 0),
          CHECK (state <> 'completed' OR cancelled + expired = 0),
          CHECK (state = 'cancelled' OR cancelled = 0),
          CHECK (state = 'expired' OR expired = 0),
          CHECK (state <> 'validating' OR (accepted_at IS NULL AND leased + completed = 0)),
          CHECK (state IN ('validating', 'cancelled') OR accepted_at IS NOT NULL),
          CHECK ((deadline IS NULL) = (window_ms IS NULL OR accepted_at IS NULL)),
          CHECK ((forget_at IS NULL) = (retention_ms IS NULL OR ended_at IS NULL))
        ) STRICT;

        -- Names of models, once each; '' is the first that a request without one brings.
        CREATE TABLE model (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;

        -- What a client sent; never changes.
        CREATE TABLE request (
          key INTEGER PRIMARY KEY,                -- batch.seq << 32 | ordinal
          batch INTEGER NOT NULL,                 -- no foreign key: forgetting a batch would search for its requests
          custom_id BLOB NOT NULL,                -- UTF-8: ids are compared by bytes
          owns_id INTEGER NOT NULL CHECK (owns_id IN (0, 1)), -- 0: another's, or made up for a refused one
          line INTEGER NOT NULL CHECK (line >= 0),
          endpoint TEXT,                          -- null, as the body: refused when it was read
          body BLOB,                              -- JSON of the route
          model INTEGER REFERENCES model (id),
          cost INTEGER CHECK (cost >= 1),         -- tokens, estimated
          CHECK (key >> 32 = batch),
          CHECK ((endpoint IS NULL) = (body IS NULL)),
          CHECK ((endpoint IS NULL) = (model IS NULL) AND (endpoint IS NULL) = (cost IS NULL))
        ) STRICT;
        CREATE UNIQUE INDEX request_custom_id ON request (batch, custom_id) WHERE owns_id = 1;
        CREATE TRIGGER request_never_changes BEFORE UPDATE ON request
          BEGIN SELECT RAISE (ABORT, 'a request never changes'); END;

        -- Requests that have not ended.
        CREATE TABLE pending (
          key INTEGER PRIMARY KEY REFERENCES request (key),
          model INTEGER NOT NULL,                 -- as in request
          cost INTEGER NOT NULL,
          state TEXT NOT NULL CHECK (state IN ('queued', 'leased')),
          attempt INTEGER NOT NULL CHECK (attempt >= 0), -- leases so far; the fence
          failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND attempt), -- attempts that count against it
          crashes INTEGER NOT NULL CHECK (crashes BETWEEN 0 AND failures), -- of these: leases that expired
          not_before INTEGER,                     -- queued: waits for this time; null: may be leased
          lease_expires INTEGER,
          worker TEXT,
          last_error TEXT,                        -- JSON of the last failure
          CHECK ((state = 'leased') = (lease_expires IS NOT NULL)),
          CHECK ((state = 'leased') = (worker IS NOT NULL)),
          CHECK (state = 'queued' OR (attempt > failures AND not_before IS NULL)),
          CHECK (not_before IS NULL OR failures > 0),
          CHECK ((last_error IS NULL) = (failures = 0))
        ) STRICT;
        -- One of these holds each row, so that leasing and recovering cost what they move.
        CREATE INDEX pending_ready ON pending (model, key)
          WHERE state = 'queued' AND not_before IS NULL AND crashes < \(LeaseClaim.suspectCrashes);
        CREATE INDEX pending_suspect ON pending (model, key)
          WHERE state = 'queued' AND not_before IS NULL AND crashes >= \(LeaseClaim.suspectCrashes);
        CREATE INDEX pending_waiting ON pending (not_before) WHERE not_before IS NOT NULL;
        CREATE INDEX pending_leased ON pending (lease_expires) WHERE lease_expires IS NOT NULL;
        CREATE TRIGGER pending_has_no_outcome BEFORE INSERT ON pending
          WHEN EXISTS (SELECT 1 FROM outcome WHERE key = NEW.key)
          BEGIN SELECT RAISE (ABORT, 'the request has ended'); END;

        -- What requests ended as.
        CREATE TABLE outcome (
          key INTEGER PRIMARY KEY REFERENCES request (key),
          batch INTEGER NOT NULL,
          completion INTEGER NOT NULL CHECK (completion >= 1), -- counts the batch's outcomes as written
          state TEXT NOT NULL CHECK (state IN ('completed', 'failed', 'cancelled', 'expired')),
          attempt INTEGER NOT NULL CHECK (attempt >= 0),
          settled_at INTEGER NOT NULL,
          prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
          completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
          cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
          \(cost),
          backend TEXT NOT NULL,                  -- what computed it; empty where nothing did
          queued_ms INTEGER NOT NULL,
          prefill_ms INTEGER NOT NULL,
          decode_ms INTEGER NOT NULL,
          status_code INTEGER NOT NULL,           -- HTTP
          error TEXT,                             -- JSON: code, message, param
          dead INTEGER NOT NULL CHECK (dead IN (0, 1)), -- 1: its attempts were used up
          body BLOB,                              -- JSON of the response
          CHECK (key >> 32 = batch),
          CHECK ((state = 'completed') = (body IS NOT NULL)),
          CHECK ((state = 'completed') = (error IS NULL)),
          CHECK (dead = 0 OR state = 'failed'),
          CHECK (state <> 'completed' OR attempt >= 1)
        ) STRICT;
        CREATE UNIQUE INDEX outcome_completion ON outcome (batch, completion);
        CREATE INDEX outcome_dead ON outcome (key) WHERE dead = 1;
        CREATE TRIGGER outcome_never_changes BEFORE UPDATE ON outcome
          BEGIN SELECT RAISE (ABORT, 'an outcome never changes'); END;
        CREATE TRIGGER outcome_ends_request AFTER INSERT ON outcome
          BEGIN DELETE FROM pending WHERE key = NEW.key; END;

        CREATE INDEX batch_leasable ON batch (priority, tenant, seq) WHERE state = 'in_progress' AND queued > 0;
        CREATE INDEX batch_tenant ON batch (tenant, seq);
        CREATE INDEX batch_forget ON batch (forget_at) WHERE forget_at IS NOT NULL;
        CREATE INDEX batch_open ON batch (seq) WHERE ended_at IS NULL;
        CREATE INDEX batch_deadline ON batch (deadline) WHERE state = 'in_progress' AND deadline IS NOT NULL;
        CREATE TRIGGER batch_stays_ended BEFORE UPDATE ON batch WHEN OLD.ended_at IS NOT NULL
          BEGIN SELECT RAISE (ABORT, 'a batch that ended never changes'); END;

        -- Queued requests of a batch by model.
        CREATE TABLE backlog (
          batch INTEGER NOT NULL REFERENCES batch (seq),
          model INTEGER NOT NULL REFERENCES model (id),
          queued INTEGER NOT NULL CHECK (queued >= 0),
          tokens INTEGER NOT NULL CHECK (tokens >= queued), -- sum of their costs
          PRIMARY KEY (batch, model)
        ) STRICT, WITHOUT ROWID;

        -- Tokens leased for tenants since a priority's backlog began: who has fewest is next.
        CREATE TABLE share (
          priority INTEGER NOT NULL,
          tenant TEXT NOT NULL,
          served INTEGER NOT NULL CHECK (served >= 0),
          PRIMARY KEY (priority, tenant)
        ) STRICT, WITHOUT ROWID;

        -- Sums over outcomes, also of batches that have been forgotten.
        CREATE TABLE usage (
          day INTEGER NOT NULL,                   -- of UTC, since 1970-01-01
          tenant TEXT NOT NULL,
          model INTEGER NOT NULL REFERENCES model (id),
          backend TEXT NOT NULL,
          completed INTEGER NOT NULL CHECK (completed >= 0),
          unsuccessful INTEGER NOT NULL CHECK (unsuccessful >= 0),
          prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
          completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
          cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
          \(cost),
          PRIMARY KEY (day, tenant, model, backend)
        ) STRICT, WITHOUT ROWID;

        -- Last reports of workers.
        CREATE TABLE worker (name TEXT PRIMARY KEY, forget_at INTEGER NOT NULL, report TEXT NOT NULL) STRICT;
        CREATE INDEX worker_forget ON worker (forget_at);

        -- Values that several processes change together; see RecordStore.
        CREATE TABLE record (
          name BLOB PRIMARY KEY,                  -- UTF-8
          version INTEGER NOT NULL,
          value BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- 'paused': 1 while it is; 'forgotten': batches that are not there any more; 'records': newest version.
        CREATE TABLE flag (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
        INSERT INTO flag VALUES ('paused', 0), ('forgotten', 0), ('records', 0);
        """

    /// Creates the tables in an empty file, or refuses a file that is not a queue of this version.
    static func prepare(_ db: Database, path: String) throws {
        if try isEmpty(db) {
            try db.execute(sql: "PRAGMA page_size = \(pageBytes)")
            try db.inTransaction(.immediate) {
                // Another process may have been first.
                guard try isEmpty(db) else { return .commit }
                try db.execute(sql: tables)
                try db.execute(sql: "PRAGMA application_id = \(applicationID)")
                try db.execute(sql: "PRAGMA user_version = \(version)")
                return .commit
            }
        }
        guard try number(db, "application_id") == applicationID else {
            throw JobQueueError.unusableStore(
                "\(path) is another program's SQLite database: name another file for the queue")
        }
        if try number(db, "user_version") < version { try upgrade(db, path: path) }
        let found = try number(db, "user_version")
        guard found == version else { throw unknown(found, path) }
    }

    /// One transaction: a file is of one version or of the other, whatever happens. Programs that have it open go on;
    /// those of an older version cannot open it any more.
    private static func upgrade(_ db: Database, path: String) throws {
        try db.inTransaction(.immediate) {
            // Another process may have been first.
            let found = try number(db, "user_version")
            guard found < version else { return .rollback }
            for old in found..<version {
                guard let steps = upgrades[old] else { throw unknown(old, path) }
                for step in steps { try db.execute(sql: step) }
            }
            try db.execute(sql: "PRAGMA user_version = \(version)")
            return .commit
        }
    }

    private static func unknown(_ found: Int64, _ path: String) -> JobQueueError {
        .unusableStore(
            "\(path) has queue format \(found), and this program knows only \(oldestVersion) to \(version): "
                + "use the program that wrote it, or name another file for the queue")
    }

    /// Twice SQLite's own choice: bodies of 1 KB then leave 5% of a page empty instead of 20%, and leasing
    /// costs the same (bench/queue).
    static let pageBytes = 8192

    private static func isEmpty(_ db: Database) throws -> Bool {
        let tables = try Int64.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") ?? 0
        return try tables == 0 && number(db, "application_id") == 0 && number(db, "user_version") == 0
    }

    private static func number(_ db: Database, _ pragma: String) throws -> Int64 {
        try Int64.fetchOne(db, sql: "PRAGMA \(pragma)") ?? 0
    }
}
