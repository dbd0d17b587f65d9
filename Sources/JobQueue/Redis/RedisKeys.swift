/// How every key of a queue is named; docs/redis-keys.md says what is in them. Nothing else spells one.
///
/// All begin with `millrace:{queue}:`, whose braces keep a queue on one node of a cluster
/// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
struct RedisKeys: Sendable {
    let prefix: String

    init(queue: String) { prefix = "millrace:{\(queue)}:" }

    /// The one key that scripts are given: they make the others' names from it.
    var meta: String { prefix + "meta" }
    var batches: String { prefix + "batches" }
    var workers: String { prefix + "workers" }
    var records: String { prefix + "records" }
    var days: String { prefix + "days" }
    var inbox: String { prefix + "inbox" }
    var refused: String { prefix + "refused" }
    var leases: String { prefix + "leases" }
    var delayed: String { prefix + "delayed" }
    var busy: String { prefix + "busy" }
    var priorities: String { prefix + "priorities" }
    var open: String { prefix + "open" }
    var waiting: String { prefix + "waiting" }
    func usage(day: String) -> String { prefix + "usage:" + day }
    func line(_ number: String) -> String { prefix + "line:" + number }
    func ready(_ line: String) -> String { prefix + "ready:" + line }
    /// Lines with suspects.
    var suspects: String { prefix + "suspects" }
    func suspects(_ line: String) -> String { prefix + "suspects:" + line }
    func active(_ priority: String) -> String { prefix + "active:" + priority }
    func lanes(_ priority: String) -> String { prefix + "lanes:" + priority }

    func batch(_ id: BatchID) -> String { prefix + "b:" + id.value }
    enum Part: String, CaseIterable { case requests, prints, places, live, results, ids, dead, lines, uses }
    func part(_ part: Part, of id: BatchID) -> String { batch(id) + ":" + part.rawValue }
    func fresh(_ line: String, of id: BatchID) -> String { batch(id) + ":fresh:" + line }
    func back(_ line: String, of id: BatchID) -> String { batch(id) + ":back:" + line }
    func suspect(_ line: String, of id: BatchID) -> String { batch(id) + ":suspect:" + line }

    /// The same names for scripts.
    static let lua = #"""
        local Q = string.sub(KEYS[1], 1, -5) -- 'millrace:{queue}:'
        local META, BATCHES, OPEN, WAITING = KEYS[1], Q .. 'batches', Q .. 'open', Q .. 'waiting'
        local LEASES, DELAYED, DEADLINES = Q .. 'leases', Q .. 'delayed', Q .. 'deadlines'
        local ENDINGS, FORGETS, NAMES, LINES = Q .. 'endings', Q .. 'forgets', Q .. 'keys', Q .. 'lines'
        local BUSY, PRIORITIES, DAYS = Q .. 'busy', Q .. 'priorities', Q .. 'days'
        local RECORDS, RECORD_VERSIONS = Q .. 'records', Q .. 'record-versions'
        local WORKERS, WORKER_ENDS, SUSPECTS = Q .. 'workers', Q .. 'worker-ends', Q .. 'suspects'
        local function of_tenant(tenant) return Q .. 'tenant:' .. tenant end
        local function line_key(n) return Q .. 'line:' .. n end
        local function ready_key(n) return Q .. 'ready:' .. n end
        local function suspects_key(n) return Q .. 'suspects:' .. n end
        local function active_key(priority) return Q .. 'active:' .. priority end
        local function served_key(priority) return Q .. 'served:' .. priority end
        local function lanes_key(priority) return Q .. 'lanes:' .. priority end
        local function lane_lines_key(priority, tenant) return Q .. 'lane:' .. priority .. ':' .. tenant end
        local function usage_key(day) return Q .. 'usage:' .. day end
        local function batch_key(id) return Q .. 'b:' .. id end
        local function part(id, name) return Q .. 'b:' .. id .. ':' .. name end
        local function fresh_key(id, n) return Q .. 'b:' .. id .. ':fresh:' .. n end
        local function back_key(id, n) return Q .. 'b:' .. id .. ':back:' .. n end
        local function suspect_key(id, n) return Q .. 'b:' .. id .. ':suspect:' .. n end

        """#
}
