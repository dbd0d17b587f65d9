/// Scripts that take batches in.
extension RedisScript {
    /// KEYS: meta.
    /// ARGV: now, id, tenant, priority, window_ms, idempotency key, seed, max_attempts, metadata, retention_ms; where
    /// there is none, an option is '-', else it is '+' and the value.
    /// Returns the batch's id, new or known.
    static let open = RedisScript(
        "open",
        #"""
        local id, tenant, window, key, retention = ARGV[2], ARGV[3], ARGV[5], ARGV[6], ARGV[10]
        if call('EXISTS', batch_key(id)) == 1 then return id end
        if key ~= '-' then
          local name = cjson.encode({tenant, string.sub(key, 2)})
          local known = call('HGET', NAMES, name)
          if known then return known end
          call('HSET', NAMES, name, id)
        end
        local seq = call('HINCRBY', META, 'seq', 1)
        call('HSET', batch_key(id), 'seq', seq, 'tenant', tenant, 'priority', ARGV[4], 'seed', ARGV[7],
          'max_attempts', ARGV[8], 'metadata', ARGV[9], 'state', 'validating', 'created_at', text(now))
        for _, name in ipairs(COUNTS) do call('HSET', batch_key(id), name, 0) end
        call('HSET', batch_key(id), 'cost_nanodollars', 0)
        if window ~= '-' then call('HSET', batch_key(id), 'window_ms', string.sub(window, 2)) end
        if key ~= '-' then call('HSET', batch_key(id), 'idempotency_key', string.sub(key, 2)) end
        if retention ~= '-' then call('HSET', batch_key(id), 'retention_ms', string.sub(retention, 2)) end
        call('ZADD', BATCHES, seq, id)
        call('ZADD', of_tenant(tenant), seq, id)
        call('ZADD', OPEN, seq, id)
        return id
        """#)

    /// KEYS: meta.
    /// ARGV: now, id, from, number of requests; then eight for each: '1' and its print, custom_id, line, endpoint,
    /// model, cost, body; or, of a refused one, '0' and its print, name, line, '1' where the name is its own,
    /// status, error, outcome's figures (prompt, completion, cached, backend, timings, cost as MessagePack).
    /// Returns 'ok', 'unknown', {'gap', total}, {'differs', ordinal}, {'state', state}.
    static let append = RedisScript(
        "append",
        #"""
        local b = batch(ARGV[2])
        if not b then return 'unknown' end
        local from, n = tonumber(ARGV[3]), tonumber(ARGV[4])
        if from < 0 or from > b.total then return {'gap', text(b.total)} end
        local known = math.min(n, b.total - from)
        if known > 0 then
          local prints = call('GETRANGE', part(b.id, 'prints'), text(from * 8), text((from + known) * 8 - 1))
          for i = 0, known - 1 do
            if string.sub(prints, i * 8 + 1, i * 8 + 8) ~= ARGV[i * 8 + 6] then return {'differs', text(from + i)} end
          end
        end
        if n == known then return 'ok' end
        if b.state ~= 'validating' then return {'state', b.state} end
        local prints, records, fresh, numbers, sums = {}, {}, {}, {}, {}
        local function place(l) return l ~= '0' and ('line ' .. l .. ': ') or '' end
        for i = known, n - 1 do
          local at, ordinal = i * 8 + 5, text(from + i)
          local custom_id, l = ARGV[at + 2], ARGV[at + 3]
          prints[#prints + 1] = ARGV[at + 1]
          b.total = b.total + 1
          if ARGV[at] == '1' then
            local model, cost = ARGV[at + 5], tonumber(ARGV[at + 6])
            if call('HSETNX', part(b.id, 'ids'), custom_id, ordinal .. ' ' .. l) == 1 then
              local number = numbers[model]
              if not number then
                number = line_number(b, model)
                numbers[model], fresh[number], sums[number] = number, {}, {0, 0}
              end
              records[#records + 1] = ordinal
              records[#records + 1] = ARGV[at + 4] .. ' ' .. l .. ' ' .. ARGV[at + 6] .. ' ' .. number .. ' '
                .. #custom_id .. '\n' .. custom_id .. ARGV[at + 7]
              fresh[number][#fresh[number] + 1] = ordinal
              sums[number] = {sums[number][1] + 1, sums[number][2] + cost}
              b.queued = b.queued + 1
            else
              local owner, line_of_owner = string.match(call('HGET', part(b.id, 'ids'), custom_id), '^(%d+) (%d+)$')
              local first = line_of_owner ~= '0' and 'line ' .. line_of_owner or 'request ' .. text(owner + 1)
              local error = cjson.encode({code = 'duplicate_custom_id', param = 'custom_id', status = 400,
                message = place(l) .. 'custom_id "' .. custom_id .. '" was used before, by ' .. first
                  .. ': give each request of the batch its own'})
              end_request(b, ordinal, custom_id, l, model, 'failed', 0, now, {status = 400, error = error})
            end
          else
            if ARGV[at + 4] == '1' then call('HSETNX', part(b.id, 'ids'), custom_id, ordinal .. ' ' .. l) end
            local f = cmsgpack.unpack(ARGV[at + 7])
            end_request(b, ordinal, custom_id, l, '', 'failed', 0, now, {status = ARGV[at + 5], error = ARGV[at + 6],
              prompt = f[1], completion = f[2], cached = f[3], backend = f[4], timings = f[5], cost = f[6]})
          end
        end
        call('APPEND', part(b.id, 'prints'), table.concat(prints))
        call_all('HSET', part(b.id, 'requests'), records)
        for number, ordinals in pairs(fresh) do
          call_all('RPUSH', fresh_key(b.id, number), ordinals)
          call('HINCRBY', part(b.id, 'lines'), number .. ':q', sums[number][1])
          call('HINCRBY', part(b.id, 'lines'), number .. ':t', text(sums[number][2]))
        end
        finish()
        return 'ok'
        """#)

    /// KEYS: meta. ARGV: now, id, total.
    /// Returns 'ok', 'unknown', {'total', total}, {'state', state}.
    static let seal = RedisScript(
        "seal",
        #"""
        local b = batch(ARGV[2])
        if not b then return 'unknown' end
        if text(b.total) ~= ARGV[3] then return {'total', text(b.total)} end
        if b.accepted_at then return 'ok' end
        if b.state ~= 'validating' then return {'state', b.state} end
        begin_freeing()
        b.state, b.accepted_at = 'in_progress', text(now)
        call('HSET', batch_key(b.id), 'accepted_at', text(now))
        if b.window_ms then
          local deadline = math.min(now + tonumber(b.window_ms), FOREVER)
          call('HSET', batch_key(b.id), 'deadline', text(deadline))
          call('ZADD', DEADLINES, deadline, b.id)
        end
        -- What was counted for the batch alone counts for the queue now.
        local counted = call('HGETALL', part(b.id, 'lines'))
        for i = 1, #counted, 2 do
          local n, what = string.match(counted[i], '^(%d+):(%a)$')
          local l = line(n)
          if what == 'q' then
            l.queued = tonumber(counted[i + 1])
            call('ZADD', ready_key(n), b.seq, b.id)
          else
            l.tokens = tonumber(counted[i + 1])
          end
        end
        call('UNLINK', part(b.id, 'ids'))
        finish()
        return 'ok'
        """#)
}
