/// Scripts that end whole batches, in steps of bounded size, and forget them.
extension RedisScript {
    private static let ending = #"""
        -- From here on nothing of the batch starts, and leases of it are lost. Its requests end in later steps.
        begin_freeing()
        local function start_ending(b, how, state)
          local fields, numbers = call('HGETALL', part(b.id, 'lines')), {}
          local names = {q = 'queued', t = 'tokens', d = 'delayed', l = 'leased'}
          for i = 1, #fields, 2 do
            local n, what = string.match(fields[i], '^(%d+):(%a)$')
            numbers[n] = true
            if b.accepted_at then
              local l = line(n)
              l[names[what]] = l[names[what]] - tonumber(fields[i + 1])
            end
          end
          for n in pairs(numbers) do
            call('ZREM', ready_key(n), b.id)
            clear_suspects(b.id, n)
            call('UNLINK', fresh_key(b.id, n), back_key(b.id, n), suspect_key(b.id, n))
          end
          call('UNLINK', part(b.id, 'lines'), part(b.id, 'ids'))
          call('ZREM', DEADLINES, b.id)
          call('ZADD', ENDINGS, b.seq, b.id)
          b.ending, b.state, b.ending_at, b.ending_from = how, state, now, 0
          call('HSET', batch_key(b.id), 'ending', how, 'ending_at', text(now), 'ending_from', 0)
        end

        -- Ends the next requests of the batch, in input order. Returns how many.
        local function go_on_ending(b, most)
          local from, moved = b.ending_from, 0
          local to = math.min(from + most, b.total)
          local places = call('GETRANGE', part(b.id, 'places'), text(from * 4), text(to * 4 - 1))
          local left = {}
          if to == 0 then places = '' end
          for ordinal = from, to - 1 do
            local place = string.sub(places, (ordinal - from) * 4 + 1, (ordinal - from) * 4 + 4)
            if place == '' or place == '\0\0\0\0' then left[#left + 1] = text(ordinal) end
          end
          if #left > 0 then
            local records = call('HMGET', part(b.id, 'requests'), unpack(left))
            local lives = call('HMGET', part(b.id, 'live'), unpack(left))
            local error, status
            if b.ending == 'cancelled' then
              status = 499
              error = {code = 'cancelled', message = 'the batch was cancelled before this request was answered'}
            else
              status = 408
              error = {code = 'expired', message = "the batch's completion window of " .. b.window_ms
                .. ' ms ended before this request was answered'}
            end
            error.status = status
            local outcome = {status = status, error = cjson.encode(error)}
            for i, ordinal in ipairs(left) do
              local r = header(records[i])
              local old = lives[i] and unpack_live(lives[i])
              if old then
                call('ZREM', LEASES, b.id .. '/' .. ordinal)
                call('ZREM', DELAYED, b.id .. '/' .. ordinal .. '/' .. r.n)
                b.remove_live[#b.remove_live + 1] = ordinal
              end
              local kind = old and old.is_leased and 'leased' or 'queued'
              b[kind] = b[kind] - 1
              end_request(b, ordinal, r.custom_id, r.line, line(r.n).model, b.ending, old and old.attempt or 0,
                b.ending_at, outcome)
              b.remove_requests[#b.remove_requests + 1] = ordinal
              moved = moved + 1
            end
          end
          b.ending_from = to
          call('HSET', batch_key(b.id), 'ending_from', text(to))
          if to == b.total then
            call('ZREM', ENDINGS, b.id)
            call_all('HDEL', part(b.id, 'live'), b.remove_live)
            b.remove_live = {}
            end_batch(b, b.ending, b.ending_at)
          end
          return moved
        end

        """#

    /// KEYS: meta. ARGV: now, id.
    /// Returns 'ending' (goOn ends its requests), 'ended' (was cancelled before), 'unknown', {'state', state}.
    static let cancel = RedisScript(
        "cancel",
        ending + #"""
            local b = batch(ARGV[2])
            if not b then return 'unknown' end
            if b.state == 'cancelled' then return 'ended' end
            if b.ending == 'expired' then return {'state', 'expired'} end
            if b.state == 'completed' or b.state == 'expired' then return {'state', b.state} end
            if not b.ending then start_ending(b, 'cancelled', 'cancelling') end
            finish()
            return 'ending'
            """#)

    /// Goes on ending a batch. KEYS: meta. ARGV: now, most at once, id or ''; then it starts on the next batch that is
    /// past its window, or that somebody began to end and did not finish.
    /// Returns how many requests it ended, and whether there may be more.
    static let goOn = RedisScript(
        "goOn",
        ending + #"""
            local id = ARGV[3]
            if id == '' then id = call('ZRANGE', ENDINGS, 0, 0)[1] end
            if not id then
              id = call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now), 'LIMIT', 0, 1)[1]
              if not id then return {0, 0} end
            end
            local b = batch(id)
            if not b then
              call('ZREM', ENDINGS, id)
              call('ZREM', DEADLINES, id)
              return {0, ARGV[3] == '' and 1 or 0}
            end
            if not b.ending then
              if b.state ~= 'in_progress' or ARGV[3] ~= '' then
                call('ZREM', DEADLINES, id)
                return {0, ARGV[3] == '' and 1 or 0}
              end
              start_ending(b, 'expired', 'in_progress')
            end
            if b.state == 'cancelled' or b.state == 'expired' then return {0, 0} end
            local moved = go_on_ending(b, tonumber(ARGV[2]))
            local is_over = b.state == 'cancelled' or b.state == 'expired'
            finish()
            return {moved, (ARGV[3] == '' or not is_over) and 1 or 0}
            """#)

    /// Forgets batches past their retention, and workers past their reports' lifetime. KEYS: meta.
    /// ARGV: now, most batches at once. Returns how many batches.
    static let forget = RedisScript(
        "forget",
        #"""
        for _, name in ipairs(call('ZRANGEBYSCORE', WORKER_ENDS, '-inf', text(now), 'LIMIT', 0, 100)) do
          call('HDEL', WORKERS, name)
          call('ZREM', WORKER_ENDS, name)
        end
        local ids = call('ZRANGEBYSCORE', FORGETS, '-inf', text(now), 'LIMIT', 0, ARGV[2])
        for _, id in ipairs(ids) do
          local v = call('HMGET', batch_key(id), 'tenant', 'idempotency_key')
          if v[1] then
            call('ZREM', of_tenant(v[1]), id)
            if v[2] then call('HDEL', NAMES, cjson.encode({v[1], v[2]})) end
          end
          for _, n in ipairs(call('SMEMBERS', part(id, 'uses'))) do
            if call('HINCRBY', line_key(n), 'batches', -1) == 0 then
              local l = line(n)
              call('HDEL', LINES, cjson.encode({l.priority, l.tenant, l.model}))
              call('UNLINK', line_key(n))
            end
          end
          call('ZREM', BATCHES, id)
          call('ZREM', FORGETS, id)
          call('UNLINK', batch_key(id), part(id, 'requests'), part(id, 'prints'), part(id, 'places'), part(id, 'live'),
            part(id, 'results'), part(id, 'ids'), part(id, 'dead'), part(id, 'lines'), part(id, 'uses'))
        end
        if #ids > 0 then call('HINCRBY', META, 'forgotten', #ids) end
        return #ids
        """#)
}
