import JSON

/// Recomputes what the keys of a queue keep twice, out of the requests and outcomes themselves (docs/ARCHITECTURE.md:
/// I1, I4, I5). Reads everything in plain commands, so nothing may change meanwhile.
struct RedisIntegrity {
    let queue: RedisQueue
    private var found: [String] = []
    /// By line: {queued, tokens, delayed, leased} of accepted batches.
    private var lines: [String: LineCounts] = [:]
    private var leases: Set<String> = []
    private var delayed: Set<String> = []
    private var ready: [String: Set<String>] = [:]
    private var suspects: [String: Set<String>] = [:]
    /// `BATCH/ORDINAL` of requests in lists of suspects.
    private var suspected: Set<String> = []
    private var waiting: Set<String> = []
    /// Batches that each line is kept for.
    private var uses: [String: Int] = [:]
    private var open: Set<String> = []
    private var ledger: [String: Int] = [:]

    private struct LineCounts: Equatable {
        var queued = 0
        var tokens = 0
        var delayed = 0
        var leased = 0
    }

    init(queue: RedisQueue) { self.queue = queue }

    mutating func problems() async throws(JobQueueError) -> [String] {
        for id in try await texts(["ZRANGE", RedisArgument(queue.keys.batches), "0", "-1"]) {
            try await check(BatchID(id))
        }
        try await checkIndexes()
        try await checkLines()
        try await checkLedger()
        return found
    }

    private func texts(_ command: [RedisArgument]) async throws(JobQueueError) -> [String] {
        (try await queue.call(command).array ?? []).map { $0.text ?? "" }
    }

    private mutating func expect(_ isSo: Bool, _ what: @autoclosure () -> String) {
        if !isSo && found.count < 50 { found.append(what()) }
    }

    /// One batch: each request is queued, leased or ended, and the counts say so.
    private mutating func check(_ id: BatchID) async throws(JobQueueError) {
        let keys = queue.keys
        let status = try await queue.status(id)
        let fields = RedisFields(try await queue.call(["HGETALL", RedisArgument(keys.batch(id))]))
        let isEnding = fields?["ending"] != nil && !status.state.isTerminal
        let isLive = status.state == .inProgress && !isEnding
        let total = status.counts.total
        var counts = BatchCounts(total: total)
        var usage = Usage()

        // Outcomes.
        let records = try await queue.results(id, after: nil, limit: .max, order: .completion)
        let places = try await queue.call(["GET", RedisArgument(keys.part(.places, of: id))]).bytes ?? []
        var ended: Set<Int> = []
        for (at, record) in records.enumerated() {
            expect(record.cursor.value == at + 1, "batch \(id): outcome \(at + 1) is numbered \(record.cursor.value)")
            expect(ended.insert(record.ordinal).inserted, "I1: request \(record.ordinal) of batch \(id) ended twice")
            expect(
                place(record.ordinal, places) == Int(record.cursor.value),
                "request \(record.ordinal) of batch \(id): its place in input order is wrong")
            count(record, id, status, &counts)
            usage += record.outcome.usage
        }
        expect(
            (0..<total).count { place($0, places) != 0 } == ended.count, "batch \(id): places without outcomes")

        // Requests that have not ended.
        let live = RedisFields(try await queue.call(["HGETALL", RedisArgument(keys.part(.live, of: id))]))
        let stored = RedisFields(try await queue.call(["HGETALL", RedisArgument(keys.part(.requests, of: id))]))
        let dead = Set(try await texts(["ZRANGE", RedisArgument(keys.part(.dead, of: id)), "0", "-1"]))
        var queuedAt = try await queuePlaces(id, stored)
        let used = Set(try await texts(["SMEMBERS", RedisArgument(keys.part(.uses, of: id))]))
        for line in used { uses[line, default: 0] += 1 }
        let needed = Set((stored?.names.map { $0 } ?? []).compactMap { stored?.bytes($0).flatMap(Self.line) })
        expect(needed.isSubset(of: used), "batch \(id): has requests of lines \(needed), uses \(used)")
        for ordinal in 0..<total where !ended.contains(ordinal) {
            let name = "\(ordinal)"
            let isLeased = live?.bytes(name)?.first == UInt8(ascii: "L")
            counts.leased += isLeased ? 1 : 0
            counts.queued += isLeased ? 0 : 1
            guard let record = stored?.bytes(name), let line = Self.line(record), let request = Request(
                stored: record, model: "")
            else {
                expect(false, "request \(ordinal) of batch \(id) has no outcome and is not stored")
                continue
            }
            let waits = queuedAt.removeValue(forKey: name) ?? 0
            if isLeased {
                leases.insert("\(id)/\(name)")
                if isLive { lines[line, default: LineCounts()].leased += 1 }
                expect(waits == 0, "request \(ordinal) of batch \(id) is leased and queued")
                continue
            }
            if !isEnding {
                expect(waits == 1, "request \(ordinal) of batch \(id) is queued \(waits) times")
            }
            if isLive {
                lines[line, default: LineCounts()].queued += 1
                lines[line, default: LineCounts()].tokens += request.cost
                if delayed.contains("\(id)/\(name)/\(line)") {
                    lines[line, default: LineCounts()].delayed += 1
                } else if suspected.contains("\(id)/\(name)") {
                    suspects[line, default: []].insert(id.value)
                } else {
                    ready[line, default: []].insert(id.value)
                }
            }
        }
        expect(queuedAt.isEmpty, "batch \(id): requests are queued that have ended: \(queuedAt.keys.sorted())")
        for name in stored?.names.map({ $0 }) ?? [] where ended.contains(Int(name) ?? -1) {
            expect(dead.contains(name), "request \(name) of batch \(id) has ended and is still stored")
        }
        expect(counts == status.counts, "I4: batch \(id) counts \(status.counts), its requests are \(counts)")
        expect(usage == status.usage, "I4: batch \(id) has usage \(status.usage), its outcomes \(usage)")
        expect(
            status.state.isTerminal == (status.endedAt != nil)
                && (!status.state.isTerminal || counts.queued + counts.leased == 0)
                && (!isLive || counts.queued + counts.leased > 0),
            "batch \(id) is \(status.state.rawValue) with \(counts)")
        if !status.state.isTerminal { open.insert(id.value) }
        if isLive && counts.queued > 0 { waiting.insert(id.value) }
    }

    private func place(_ ordinal: Int, _ places: [UInt8]) -> Int {
        guard places.count >= ordinal * 4 + 4 else { return 0 }
        return places[(ordinal * 4)..<(ordinal * 4 + 4)].reduce(0) { $0 << 8 | Int($1) }
    }

    /// The line's number, in the head of a stored request.
    private static func line(_ record: [UInt8]) -> String? {
        let head = String(decoding: record.prefix { $0 != 10 }, as: UTF8.self).split(separator: " ")
        return head.count == 5 ? String(head[3]) : nil
    }

    private mutating func count(
        _ record: ResultRecord, _ id: BatchID, _ status: BatchStatus, _ counts: inout BatchCounts
    ) {
        switch record.state {
        case .completed: counts.completed += 1
        case .failed: counts.failed += 1
        case .cancelled: counts.cancelled += 1
        case .expired: counts.expired += 1
        case .queued, .leased: expect(false, "batch \(id): an outcome that is none")
        }
        let day = Day(of: record.settledAt).number
        func add(_ what: String, _ value: Int) {
            ledger["\(day) \(status.specification.tenant) \(record.outcome.backend) \(what)", default: 0] += value
        }
        add(record.state == .completed ? "completed" : "unsuccessful", 1)
        add("prompt", record.outcome.usage.promptTokens)
        add("completion", record.outcome.usage.completionTokens)
        add("cached", record.outcome.usage.cachedTokens)
        add("cost", record.outcome.usage.costNanodollars)
    }

    /// How often each ordinal stands in a list of those that may be leased, now or later.
    private mutating func queuePlaces(
        _ id: BatchID, _ stored: RedisFields?
    ) async throws(JobQueueError) -> [String: Int] {
        var places: [String: Int] = [:]
        var numbers: Set<String> = []
        for name in stored?.names.map({ $0 }) ?? [] {
            if let line = stored?.bytes(name).flatMap(Self.line) { numbers.insert(line) }
        }
        for line in numbers {
            for ordinal in try await texts(["LRANGE", RedisArgument(queue.keys.fresh(line, of: id)), "0", "-1"]) {
                places[ordinal, default: 0] += 1
            }
            for ordinal in try await texts(["ZRANGE", RedisArgument(queue.keys.back(line, of: id)), "0", "-1"]) {
                places[ordinal, default: 0] += 1
            }
            for ordinal in try await texts(["ZRANGE", RedisArgument(queue.keys.suspect(line, of: id)), "0", "-1"]) {
                places[ordinal, default: 0] += 1
                suspected.insert("\(id)/\(ordinal)")
            }
        }
        for member in try await texts(["ZRANGE", RedisArgument(queue.keys.delayed), "0", "-1"]) {
            let parts = member.split(separator: "/")
            guard parts.count == 3, parts[0] == id.value else { continue }
            places[String(parts[1]), default: 0] += 1
            delayed.insert(member)
        }
        return places
    }

    private mutating func checkIndexes() async throws(JobQueueError) {
        let keys = queue.keys
        let sets = [
            ("leases", keys.leases, leases), ("open", keys.open, open), ("waiting", keys.waiting, waiting),
        ]
        for (name, key, expected) in sets {
            let there = Set(try await texts(["ZRANGE", RedisArgument(key), "0", "-1"]))
            expect(there == expected, "\(name) has \(there.sorted()), should have \(expected.sorted())")
        }
    }

    private mutating func checkLines() async throws(JobQueueError) {
        let keys = queue.keys
        // Read in what `expect` is told, while it writes.
        let (uses, suspects) = (uses, suspects)
        var lanes: [String: [String: Int]] = [:]
        let numbers = try await queue.call(["HVALS", RedisArgument(keys.prefix + "lines")]).array ?? []
        let busy = Set(try await texts(["SMEMBERS", RedisArgument(keys.busy)]))
        for number in numbers.compactMap(\.text) {
            guard let line = RedisFields(try await queue.call(["HGETALL", RedisArgument(keys.line(number))])),
                let priority = line["priority"], let tenant = line["tenant"]
            else {
                expect(false, "line \(number) is missing")
                continue
            }
            let there = LineCounts(
                queued: line.int("queued") ?? -1, tokens: line.int("tokens") ?? -1, delayed: line.int("delayed") ?? -1,
                leased: line.int("leased") ?? -1)
            let counted = lines[number] ?? LineCounts()
            expect(
                line.int("batches") == uses[number] ?? 0 && uses[number] != nil,
                "line \(number) is kept for \(line.int("batches") ?? -1) batches, \(uses[number] ?? 0) use it")
            expect(there == counted, "line \(number) counts \(there), its requests are \(counted)")
            expect(busy.contains(number) == (counted.queued + counted.leased > 0), "line \(number): busy is wrong")
            let batches = Set(try await texts(["ZRANGE", RedisArgument(keys.ready(number)), "0", "-1"]))
            let expected = ready[number] ?? []
            expect(
                batches == expected,
                "line \(number): ready has \(batches.sorted()), should have \(expected.sorted())")
            let accused = Set(try await texts(["ZRANGE", RedisArgument(keys.suspects(number)), "0", "-1"]))
            expect(
                accused == suspects[number] ?? [],
                "line \(number): suspects has \(accused.sorted()), should have \(suspects[number] ?? [])")
            lanes[priority, default: [:]][tenant, default: 0] += counted.queued
        }
        expect(
            Set(uses.keys) == Set(numbers.compactMap(\.text)), "lines are \(numbers.count), \(uses.count) are used")
        let accused = Set(try await texts(["SMEMBERS", RedisArgument(keys.suspects)]))
        expect(accused == Set(suspects.keys), "suspects has lines \(accused), should have \(suspects.keys.sorted())")
        let priorities = Set(try await texts(["ZRANGE", RedisArgument(keys.priorities), "0", "-1"]))
        expect(
            priorities == Set(lanes.filter { $0.value.contains { $0.value > 0 } }.keys), "priorities are \(priorities)")
        for (priority, tenants) in lanes {
            let expected = tenants.filter { $0.value > 0 }
            let there = RedisFields(try await queue.call(["HGETALL", RedisArgument(keys.lanes(priority))]))
            let counted = Dictionary(
                uniqueKeysWithValues: (there?.names.map { $0 } ?? []).map { ($0, there?.int($0) ?? -1) })
            expect(counted == expected, "priority \(priority): tenants count \(counted), should count \(expected)")
            let active = Set(try await texts(["ZRANGE", RedisArgument(keys.active(priority)), "0", "-1"]))
            expect(active == Set(expected.keys), "priority \(priority): \(active.sorted()) take turns")
        }
    }

    /// The models are not in the outcomes; sums over all models are compared.
    private mutating func checkLedger() async throws(JobQueueError) {
        let isWhole = try await queue.call(["HGET", RedisArgument(queue.keys.meta), "forgotten"]).int ?? 0 == 0
        var there: [String: Int] = [:]
        for record in try await queue.usage(UsageQuery()) {
            func add(_ what: String, _ value: Int) {
                there["\(record.day.number) \(record.tenant) \(record.backend) \(what)", default: 0] += value
            }
            add("completed", record.completed)
            add("unsuccessful", record.unsuccessful)
            add("prompt", record.usage.promptTokens)
            add("completion", record.usage.completionTokens)
            add("cached", record.usage.cachedTokens)
            add("cost", record.usage.costNanodollars)
        }
        for name in Set(there.keys).union(ledger.keys) {
            let (sum, counted) = (there[name] ?? 0, ledger[name] ?? 0)
            let isSo = isWhole ? sum == counted : sum >= counted
            expect(isSo, "I4: the ledger has \(sum) for \(name), outcomes \(counted)")
        }
    }
}

extension RedisQueue {
    /// What is wrong with the queue's keys, each as a sentence; empty when nothing is. Takes as long as reading all of
    /// them, and wants a queue that nobody works on.
    package func integrityProblems() async throws(JobQueueError) -> [String] {
        var check = RedisIntegrity(queue: self)
        return try await check.problems()
    }
}
