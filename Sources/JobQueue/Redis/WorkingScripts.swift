/// Scripts that move requests: settle, renew, release, reclaim.
extension RedisScript {
    /// KEYS: meta.
    /// ARGV: now, expiry's distance in ms; then three for each lease: batch, ordinal, attempt.
    /// Returns 1 or 0 (lost) for each.
    static let renew = RedisScript(
        "renew",
        #"""
        begin_freeing()
        local expires, results = math.min(now + tonumber(ARGV[2]), FOREVER), {}
        for at = 3, #ARGV, 3 do
          local r = held(ARGV[at], ARGV[at + 1], ARGV[at + 2])
          if r then call('ZADD', LEASES, expires, ARGV[at] .. '/' .. ARGV[at + 1]) end
          results[#results + 1] = r and 1 or 0
        end
        return results
        """#)

    /// KEYS: meta.
    /// ARGV: now; then 13 for each: batch, ordinal, attempt, state, prompt, completion and cached tokens, cost in
    /// billionths of a dollar, backend, timings ('queued prefill decode' in ms), status, error, response.
    /// Returns 1 or 0 (lost) for each.
    static let settle = RedisScript(
        "settle",
        #"""
        begin_freeing()
        local results = {}
        for at = 2, #ARGV, 13 do
          local r, b = held(ARGV[at], ARGV[at + 1], ARGV[at + 2])
          if r then
            local error = ARGV[at + 11]
            local is_dead = error ~= '' and cjson.decode(error).code == 'attempts_exhausted'
            end_leased(b, ARGV[at + 1], r, ARGV[at + 3], {prompt = ARGV[at + 4], completion = ARGV[at + 5],
              cached = ARGV[at + 6], cost = ARGV[at + 7], backend = ARGV[at + 8], timings = ARGV[at + 9],
              status = ARGV[at + 10], error = error, response = ARGV[at + 12]}, is_dead)
          end
          results[#results + 1] = r and 1 or 0
        end
        finish()
        return results
        """#)

    /// KEYS: meta.
    /// ARGV: now, 'back' or 'failed', ms until the next attempt, error's code, message, '-' or '+parameter', status;
    /// then three for each lease: batch, ordinal, attempt.
    /// Returns 1 or 0 (lost) for each.
    static let release = RedisScript(
        "release",
        #"""
        begin_freeing()
        local results, delay, param = {}, tonumber(ARGV[3]), ARGV[6]
        local error = {code = ARGV[4], message = ARGV[5], status = tonumber(ARGV[7])}
        if param ~= '-' then error.param = string.sub(param, 2) end
        for at = 8, #ARGV, 3 do
          local r, b = held(ARGV[at], ARGV[at + 1], ARGV[at + 2])
          if r and ARGV[2] == 'back' then
            r.worker = ''
            queue_again(b, ARGV[at + 1], r, nil)
          elseif r then
            fail(b, ARGV[at + 1], r, error, false, delay > 0 and math.min(now + delay, FOREVER) or nil)
          end
          results[#results + 1] = r and 1 or 0
        end
        finish()
        return results
        """#)

    /// Takes back leases that expired. KEYS: meta. ARGV: now, most at once.
    /// Returns how many it looked at and how many it moved.
    static let reclaim = RedisScript(
        "reclaim",
        #"""
        begin_freeing()
        local expired = call('ZRANGEBYSCORE', LEASES, '-inf', text(now), 'LIMIT', 0, ARGV[2])
        local found, moved = {}, 0
        for _, member in ipairs(expired) do
          local id, ordinal = string.match(member, '^(.*)/(%d+)$')
          local b = batch(id)
          if not b or b.state ~= 'in_progress' or b.ending then
            call('ZREM', LEASES, member)
          else
            found[#found + 1] = {b = b, ordinal = tonumber(ordinal)}
          end
        end
        table.sort(found, function(x, y)
          if x.b.seq ~= y.b.seq then return x.b.seq < y.b.seq end
          return x.ordinal < y.ordinal
        end)
        for _, f in ipairs(found) do
          local ordinal = text(f.ordinal)
          local live = call('HGET', part(f.b.id, 'live'), ordinal)
          local r = live and unpack_live(live)
          if r and r.is_leased then
            local earlier = ''
            if r.last_code ~= '' and r.last_code ~= 'lease_expired' then
              earlier = ' (before that: ' .. r.last_code .. ': ' .. r.last_message .. ')'
            end
            fail(f.b, ordinal, r, {code = 'lease_expired', status = 500, message = 'worker ' .. r.worker
              .. ' did not answer in time, or ended, in attempt ' .. text(r.attempt) .. earlier}, true, nil)
            moved = moved + 1
          else
            call('ZREM', LEASES, f.b.id .. '/' .. ordinal)
          end
        end
        finish()
        return {#expired, moved}
        """#)

    /// KEYS: meta. ARGV: now, name, forget at, report.
    static let heartbeat = RedisScript(
        "heartbeat",
        #"""
        call('HSET', WORKERS, ARGV[2], ARGV[4])
        call('ZADD', WORKER_ENDS, ARGV[3], ARGV[2])
        return 'ok'
        """#)

    /// KEYS: meta. ARGV: now, name.
    static let forgetWorker = RedisScript(
        "forgetWorker",
        #"""
        call('HDEL', WORKERS, ARGV[2])
        call('ZREM', WORKER_ENDS, ARGV[2])
        return 'ok'
        """#)
}
