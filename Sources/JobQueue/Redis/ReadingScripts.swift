/// Scripts that only read.
extension RedisScript {
    /// KEYS: meta. ARGV: now, tenant ('-': all, or '+' and its name), below which number ('+inf': all), most.
    /// Returns pairs: a batch's id and its fields (HGETALL), newest first.
    static let list = RedisScript(
        "list",
        #"""
        local key = ARGV[2] == '-' and BATCHES or of_tenant(string.sub(ARGV[2], 2))
        local found = {}
        for _, id in ipairs(call('ZREVRANGEBYSCORE', key, ARGV[3], '-inf', 'LIMIT', 0, ARGV[4])) do
          found[#found + 1] = id
          found[#found + 1] = call('HGETALL', batch_key(id))
        end
        return found
        """#)

    /// KEYS: meta. ARGV: now, id, number of the last outcome that is known, most, most bytes.
    /// Returns entries as XRANGE does, in completion order; or 'unknown'.
    static let resultsByCompletion = RedisScript(
        "resultsByCompletion",
        #"""
        if call('EXISTS', batch_key(ARGV[2])) == 0 then return 'unknown' end
        local found, bytes, last = {}, 0, ARGV[3]
        local most, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
        while #found < most and bytes < most_bytes do
          local page = call('XRANGE', part(ARGV[2], 'results'), '(' .. last .. '-0', '+', 'COUNT',
            math.min(most - #found, 16))
          if #page == 0 then break end
          for _, entry in ipairs(page) do
            if #found > 0 and bytes >= most_bytes then break end
            found[#found + 1] = entry
            for _, value in ipairs(entry[2]) do bytes = bytes + #value end
            last = string.match(entry[1], '^%d+')
          end
        end
        return found
        """#)

    /// KEYS: meta. ARGV: now, id, first ordinal, most, most bytes.
    /// Returns entries as XRANGE does, in input order up to the first request that has not ended; or 'unknown'.
    static let resultsByInput = RedisScript(
        "resultsByInput",
        #"""
        if call('EXISTS', batch_key(ARGV[2])) == 0 then return 'unknown' end
        local from, most, most_bytes = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
        if most == 0 then return {} end -- an end before the start could mean the whole string
        local places = call('GETRANGE', part(ARGV[2], 'places'), text(from * 4), text((from + most) * 4 - 1))
        local found, bytes = {}, 0
        for at = 1, #places - 3, 4 do
          local completion = struct.unpack('>I4', places, at)
          if completion == 0 or (#found > 0 and bytes >= most_bytes) then break end
          local id = text(completion) .. '-0'
          local entry = call('XRANGE', part(ARGV[2], 'results'), id, id)[1]
          if not entry then break end
          found[#found + 1] = entry
          for _, value in ipairs(entry[2]) do bytes = bytes + #value end
        end
        return found
        """#)

    /// KEYS: meta. ARGV: now, id, the ordinal before, most.
    /// Returns triples: the stored request, its model, its result's entry; or 'unknown'.
    static let deadLetters = RedisScript(
        "deadLetters",
        #"""
        local id = ARGV[2]
        if call('EXISTS', batch_key(id)) == 0 then return 'unknown' end
        local found = {}
        local after = '(' .. ARGV[3]
        for _, ordinal in ipairs(call('ZRANGEBYSCORE', part(id, 'dead'), after, '+inf', 'LIMIT', 0, ARGV[4])) do
          local record = call('HGET', part(id, 'requests'), ordinal)
          local place = call('GETRANGE', part(id, 'places'), text(ordinal * 4), text(ordinal * 4 + 3))
          local result = text(struct.unpack('>I4', place)) .. '-0'
          found[#found + 1] = record
          found[#found + 1] = line(header(record).n).model
          found[#found + 1] = call('XRANGE', part(id, 'results'), result, result)[1]
        end
        return found
        """#)

    /// KEYS: meta. ARGV: now, id.
    /// Returns the model and the number of requests of each line that the batch has queued requests of; or 'unknown'.
    static let backlog = RedisScript(
        "backlog",
        #"""
        if call('EXISTS', batch_key(ARGV[2])) == 0 then return 'unknown' end
        local fields, found = call('HGETALL', part(ARGV[2], 'lines')), {}
        for i = 1, #fields, 2 do
          local n = string.match(fields[i], '^(%d+):q$')
          if n and tonumber(fields[i + 1]) > 0 then
            found[#found + 1] = line(n).model
            found[#found + 1] = fields[i + 1]
          end
        end
        return found
        """#)

    /// KEYS: meta. ARGV: now.
    /// Returns paused, open batches, acceptance of the oldest that waits ('': none), and for each line with requests:
    /// {priority, tenant, model, queued, tokens, delayed, leased}.
    static let overview = RedisScript(
        "overview",
        #"""
        local due = {}
        for _, member in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', text(now), 'LIMIT', 0, 10000)) do
          local n = string.match(member, '/(%d+)$')
          due[n] = (due[n] or 0) + 1
        end
        local lines = {}
        for _, n in ipairs(call('SMEMBERS', BUSY)) do
          local v = call('HMGET', line_key(n), 'priority', 'tenant', 'model', 'queued', 'tokens', 'delayed', 'leased')
          v[6] = text(v[6] - (due[n] or 0))
          lines[#lines + 1] = v
        end
        local oldest = call('ZRANGE', WAITING, 0, 0, 'WITHSCORES')[2]
        return {call('HGET', META, 'paused') or '0', call('ZCARD', OPEN), oldest or '', lines}
        """#)
}
