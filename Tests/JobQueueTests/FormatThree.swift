/// A queue file as the version before costs were counted left it when it was killed: a batch of twelve requests, three
/// of them done, five leased and four queued.
enum FormatThree {
    static let sql = """
        CREATE TABLE backlog (
          batch INTEGER NOT NULL REFERENCES batch (seq),
          model INTEGER NOT NULL REFERENCES model (id),
          queued INTEGER NOT NULL CHECK (queued >= 0),
          tokens INTEGER NOT NULL CHECK (tokens >= queued),
          PRIMARY KEY (batch, model)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO "backlog" VALUES(1,1,4,4);
        CREATE TABLE batch (
          seq INTEGER PRIMARY KEY CHECK (seq BETWEEN 1 AND 2147483647),
          id TEXT NOT NULL UNIQUE,
          tenant TEXT NOT NULL,
          priority INTEGER NOT NULL,
          window_ms INTEGER CHECK (window_ms > 0),
          idempotency_key TEXT,
          seed INTEGER NOT NULL,
          max_attempts INTEGER NOT NULL CHECK (max_attempts >= 1),
          metadata TEXT NOT NULL,
          retention_ms INTEGER CHECK (retention_ms > 0),
          state TEXT NOT NULL CHECK (state IN
            ('validating', 'in_progress', 'cancelling', 'completed', 'cancelled', 'expired')),
          created_at INTEGER NOT NULL,
          accepted_at INTEGER,
          deadline INTEGER,
          ended_at INTEGER,
          forget_at INTEGER,
          paused_for TEXT,
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
        INSERT INTO "batch" VALUES(1,'batch_5b8caecc1c6268f637cb0a62a600460e','default',0,NULL,'probe',0,1000,'{}',
          NULL,'in_progress',1000000,1000000,NULL,NULL,NULL,NULL,12,4,5,3,0,0,0,29,3,0);
        CREATE TABLE flag (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
        INSERT INTO "flag" VALUES('paused',0);
        INSERT INTO "flag" VALUES('forgotten',0);
        INSERT INTO "flag" VALUES('records',0);
        CREATE TABLE model (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;
        INSERT INTO "model" VALUES(1,X'');
        CREATE TABLE outcome (
          key INTEGER PRIMARY KEY REFERENCES request (key),
          batch INTEGER NOT NULL,
          completion INTEGER NOT NULL CHECK (completion >= 1),
          state TEXT NOT NULL CHECK (state IN ('completed', 'failed', 'cancelled', 'expired')),
          attempt INTEGER NOT NULL CHECK (attempt >= 0),
          settled_at INTEGER NOT NULL,
          prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
          completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
          cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
          backend TEXT NOT NULL,
          queued_ms INTEGER NOT NULL,
          prefill_ms INTEGER NOT NULL,
          decode_ms INTEGER NOT NULL,
          status_code INTEGER NOT NULL,
          error TEXT,
          dead INTEGER NOT NULL CHECK (dead IN (0, 1)),
          body BLOB,
          CHECK (key >> 32 = batch),
          CHECK ((state = 'completed') = (body IS NOT NULL)),
          CHECK ((state = 'completed') = (error IS NULL)),
          CHECK (dead = 0 OR state = 'failed'),
          CHECK (state <> 'completed' OR attempt >= 1)
        ) STRICT;
        INSERT INTO "outcome" VALUES(4294967304,1,1,'completed',1,1000000,8,1,0,'probe',0,0,0,200,NULL,0,
          X'7B226F66223A22382031227D');
        INSERT INTO "outcome" VALUES(4294967306,1,2,'completed',1,1000000,10,1,0,'probe',0,0,0,200,NULL,0,
          X'7B226F66223A2231302031227D');
        INSERT INTO "outcome" VALUES(4294967307,1,3,'completed',1,1000000,11,1,0,'probe',0,0,0,200,NULL,0,
          X'7B226F66223A2231312031227D');
        CREATE TABLE pending (
          key INTEGER PRIMARY KEY REFERENCES request (key),
          model INTEGER NOT NULL,
          cost INTEGER NOT NULL,
          state TEXT NOT NULL CHECK (state IN ('queued', 'leased')),
          attempt INTEGER NOT NULL CHECK (attempt >= 0),
          failures INTEGER NOT NULL CHECK (failures BETWEEN 0 AND attempt),
          crashes INTEGER NOT NULL CHECK (crashes BETWEEN 0 AND failures),
          not_before INTEGER,
          lease_expires INTEGER,
          worker TEXT,
          last_error TEXT,
          CHECK ((state = 'leased') = (lease_expires IS NOT NULL)),
          CHECK ((state = 'leased') = (worker IS NOT NULL)),
          CHECK (state = 'queued' OR (attempt > failures AND not_before IS NULL)),
          CHECK (not_before IS NULL OR failures > 0),
          CHECK ((last_error IS NULL) = (failures = 0))
        ) STRICT;
        INSERT INTO "pending" VALUES(4294967296,1,1,'queued',1,1,0,NULL,NULL,NULL,'{"code":"probe",
          "message":"tried in vain","status":400}');
        INSERT INTO "pending" VALUES(4294967297,1,1,'leased',1,0,0,NULL,1001000,'w0',NULL);
        INSERT INTO "pending" VALUES(4294967298,1,1,'leased',1,0,0,NULL,1001000,'w0',NULL);
        INSERT INTO "pending" VALUES(4294967299,1,1,'queued',1,1,0,NULL,NULL,NULL,'{"code":"probe",
          "message":"tried in vain","status":400}');
        INSERT INTO "pending" VALUES(4294967300,1,1,'queued',1,1,0,NULL,NULL,NULL,'{"code":"probe",
          "message":"tried in vain","status":400}');
        INSERT INTO "pending" VALUES(4294967301,1,1,'leased',1,0,0,NULL,1001000,'w0',NULL);
        INSERT INTO "pending" VALUES(4294967302,1,1,'leased',1,0,0,NULL,1001000,'w0',NULL);
        INSERT INTO "pending" VALUES(4294967303,1,1,'leased',1,0,0,NULL,1001000,'w0',NULL);
        INSERT INTO "pending" VALUES(4294967305,1,1,'queued',1,0,0,NULL,NULL,NULL,NULL);
        CREATE TABLE record (
          name BLOB PRIMARY KEY,
          version INTEGER NOT NULL,
          value BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE request (
          key INTEGER PRIMARY KEY,
          batch INTEGER NOT NULL,
          custom_id BLOB NOT NULL,
          owns_id INTEGER NOT NULL CHECK (owns_id IN (0, 1)),
          line INTEGER NOT NULL CHECK (line >= 0),
          endpoint TEXT,
          body BLOB,
          model INTEGER REFERENCES model (id),
          cost INTEGER CHECK (cost >= 1),
          CHECK (key >> 32 = batch),
          CHECK ((endpoint IS NULL) = (body IS NULL)),
          CHECK ((endpoint IS NULL) = (model IS NULL) AND (endpoint IS NULL) = (cost IS NULL))
        ) STRICT;
        INSERT INTO "request" VALUES(4294967296,1,X'7230',1,1,'/v1/completions',X'7B2270726F6D7074223A223020227D',1,
          1);
        INSERT INTO "request" VALUES(4294967297,1,X'7231',1,2,'/v1/completions',X'7B2270726F6D7074223A22312078227D',
          1,1);
        INSERT INTO "request" VALUES(4294967298,1,X'7232',1,3,'/v1/completions',
          X'7B2270726F6D7074223A2232207878227D',1,1);
        INSERT INTO "request" VALUES(4294967299,1,X'7233',1,4,'/v1/completions',
          X'7B2270726F6D7074223A223320787878227D',1,1);
        INSERT INTO "request" VALUES(4294967300,1,X'7234',1,5,'/v1/completions',
          X'7B2270726F6D7074223A22342078787878227D',1,1);
        INSERT INTO "request" VALUES(4294967301,1,X'7235',1,6,'/v1/completions',
          X'7B2270726F6D7074223A2235207878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967302,1,X'7236',1,7,'/v1/completions',
          X'7B2270726F6D7074223A223620787878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967303,1,X'7237',1,8,'/v1/completions',
          X'7B2270726F6D7074223A22372078787878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967304,1,X'7238',1,9,'/v1/completions',
          X'7B2270726F6D7074223A2238207878787878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967305,1,X'7239',1,10,'/v1/completions',
          X'7B2270726F6D7074223A223920787878787878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967306,1,X'723130',1,11,'/v1/completions',
          X'7B2270726F6D7074223A2231302078787878787878787878227D',1,1);
        INSERT INTO "request" VALUES(4294967307,1,X'723131',1,12,'/v1/completions',
          X'7B2270726F6D7074223A223131207878787878787878787878227D',1,1);
        CREATE TABLE share (
          priority INTEGER NOT NULL,
          tenant TEXT NOT NULL,
          served INTEGER NOT NULL CHECK (served >= 0),
          PRIMARY KEY (priority, tenant)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO "share" VALUES(0,'default',0);
        CREATE TABLE usage (
          day INTEGER NOT NULL,
          tenant TEXT NOT NULL,
          model INTEGER NOT NULL REFERENCES model (id),
          backend TEXT NOT NULL,
          completed INTEGER NOT NULL CHECK (completed >= 0),
          unsuccessful INTEGER NOT NULL CHECK (unsuccessful >= 0),
          prompt_tokens INTEGER NOT NULL CHECK (prompt_tokens >= 0),
          completion_tokens INTEGER NOT NULL CHECK (completion_tokens >= 0),
          cached_tokens INTEGER NOT NULL CHECK (cached_tokens BETWEEN 0 AND prompt_tokens),
          PRIMARY KEY (day, tenant, model, backend)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO "usage" VALUES(0,'default',1,'probe',3,0,29,3,0);
        CREATE TABLE worker (name TEXT PRIMARY KEY, forget_at INTEGER NOT NULL, report TEXT NOT NULL) STRICT;
        CREATE UNIQUE INDEX request_custom_id ON request (batch, custom_id) WHERE owns_id = 1;
        CREATE TRIGGER request_never_changes BEFORE UPDATE ON request
          BEGIN SELECT RAISE (ABORT, 'a request never changes'); END;
        CREATE INDEX pending_ready ON pending (model, key)
          WHERE state = 'queued' AND not_before IS NULL AND crashes < 2;
        CREATE INDEX pending_suspect ON pending (model, key)
          WHERE state = 'queued' AND not_before IS NULL AND crashes >= 2;
        CREATE INDEX pending_waiting ON pending (not_before) WHERE not_before IS NOT NULL;
        CREATE INDEX pending_leased ON pending (lease_expires) WHERE lease_expires IS NOT NULL;
        CREATE TRIGGER pending_has_no_outcome BEFORE INSERT ON pending
          WHEN EXISTS (SELECT 1 FROM outcome WHERE key = NEW.key)
          BEGIN SELECT RAISE (ABORT, 'the request has ended'); END;
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
        CREATE INDEX worker_forget ON worker (forget_at);
        PRAGMA application_id = 1298754641;
        PRAGMA user_version = 3;
        """
}
