/// Says what a server's error means to whoever can act on it, and whether trying again can help.
///
/// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors and the server's src/server.c
/// (shared.*err), src/script_lua.c.
enum RedisFailure {
    /// - Parameters:
    ///   - place: the queue's address, without a password (I10).
    static func describe(_ error: String, _ place: String) -> JobQueueError {
        for known in meanings
        where "\(error) ".hasPrefix(known.code + " ") || error.contains("-" + known.code + " ") {
            let what = "\(place): \(known.what)"
            return known.helpsToRetry ? .unavailable(what) : .unusableStore(what)
        }
        if error.contains("cript killed by user") {
            return .unavailable("\(place): somebody killed the queue's script with SCRIPT KILL; nothing was changed")
        }
        if let node = moved(error) {
            return .unusableStore(
                "\(place): this node of a Redis cluster does not have the queue's keys: name \(node) instead")
        }
        return .unusableStore("\(place): the server refused: \(error)")
    }

    /// `MOVED 3999 127.0.0.1:6381`, at the start or within a script's error.
    private static func moved(_ error: String) -> String? {
        let words = error.split(separator: " ")
        guard let at = words.firstIndex(where: { $0.hasSuffix("MOVED") || $0.hasSuffix("ASK") }), at + 2 < words.count
        else { return error.contains("non local key") ? "the node that has them" : nil }
        return String(words[at + 2])
    }

    private struct Meaning {
        var code: String
        var helpsToRetry: Bool
        var what: String
    }

    private static let meanings = [
        Meaning(
            code: "NOAUTH", helpsToRetry: false,
            what: "the server wants a password: give it in the URL (redis://user:password@host) or by file"),
        Meaning(
            code: "WRONGPASS", helpsToRetry: false, what: "the server refuses the user name or password: check both"),
        Meaning(
            code: "ERR invalid password", helpsToRetry: false, what: "the server refuses the password: check it"),
        Meaning(
            code: "ERR AUTH", helpsToRetry: false,
            what: "the server has no password set and refuses the one given: leave it out, or set it there"),
        Meaning(
            code: "NOPERM", helpsToRetry: false,
            what: "the server's access list does not let this user do it: the queue needs EVALSHA, SCRIPT LOAD, INFO "
                + "and all commands on keys millrace:*"),
        Meaning(
            code: "WRONGTYPE", helpsToRetry: false,
            what: "another program uses the queue's keys for something else: choose another queue=name or database"),
        Meaning(
            code: "READONLY", helpsToRetry: true,
            what: "the server is a read-only replica: name the primary (after a failover, wait until it is one)"),
        Meaning(
            code: "OOM", helpsToRetry: true,
            what: "the server has reached its maxmemory and takes no more: raise it, or wait until results expire; "
                + "nothing that was accepted is lost"),
        Meaning(
            code: "MISCONF", helpsToRetry: true,
            what: "the server cannot write its snapshots and refuses writes: look at its log and disk"),
        Meaning(code: "LOADING", helpsToRetry: true, what: "the server is loading its data: wait"),
        Meaning(code: "BUSY", helpsToRetry: true, what: "the server is busy with a long script of somebody's: wait"),
        Meaning(code: "MASTERDOWN", helpsToRetry: true, what: "the server's primary is down: wait for the failover"),
        Meaning(code: "NOREPLICAS", helpsToRetry: true, what: "the server has too few replicas to take writes: wait"),
        Meaning(code: "CLUSTERDOWN", helpsToRetry: true, what: "the Redis cluster is down: wait"),
        Meaning(code: "TRYAGAIN", helpsToRetry: true, what: "the Redis cluster moves the queue's keys: wait"),
        Meaning(
            code: "ERR max number of clients reached", helpsToRetry: true,
            what: "the server has as many connections as it allows: raise maxclients, or stop some"),
        Meaning(
            code: "ERR DB index is out of range", helpsToRetry: false,
            what: "the server has no database of that number: see its 'databases' setting"),
        Meaning(
            code: "ERR invalid DB index", helpsToRetry: false, what: "the server has no database of that number"),
        Meaning(
            code: "ERR SELECT is not allowed", helpsToRetry: false,
            what: "a Redis cluster has only database 0: leave the number out"),
    ]

    static func unexpected(_ reply: RedisReply, _ what: String, _ place: String) -> JobQueueError {
        .unusableStore(
            "\(place): \(what) in Redis is not as this program writes it: "
                + "has another program changed the queue's keys?")
    }
}
