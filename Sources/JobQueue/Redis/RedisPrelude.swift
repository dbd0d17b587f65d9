/// What every script begins with: the time, batches in memory, counting, ending requests.
///
/// A script reads a batch once, changes it in memory and writes it back at its end (`finish`), so that the cost of a
/// call is that of the requests it moves. Numbers stay below 2^53, where Lua's doubles are exact.
///
/// Sources: https://redis.io/docs/latest/develop/programmability/lua-api/ (redis, cjson, cmsgpack, struct)
enum RedisPrelude {
    static let lua = #"""
        local call = redis.call
        local FOREVER = 9007199254740992 -- 2^53
        local now = tonumber(ARGV[1])
        if not now then -- the server's clock
          local time = call('TIME')
          now = time[1] * 1000 + math.floor(time[2] / 1000)
        end
        local function text(number) return string.format('%.0f', number) end

        -- Calls a command with any number of arguments.
        local function call_all(command, key, list)
          for i = 1, #list, 1000 do call(command, key, unpack(list, i, math.min(i + 999, #list))) end
        end

        -- A server at its maxmemory refuses a script's first write, and none after it. What works requests off frees
        -- more than it takes, so it begins with a write that is never refused; submitting does not.
        local function begin_freeing() call('ZREM', LEASES, '') end

        -- Batches by id; false: not there.
        local batches = {}
        local COUNTS = {'total', 'queued', 'leased', 'completed', 'failed', 'cancelled', 'expired', 'prompt_tokens',
          'completion_tokens', 'cached_tokens'}
        local function batch(id)
          local known = batches[id]
          if known ~= nil then return known end
          local v = call('HMGET', batch_key(id), 'seq', 'tenant', 'priority', 'state', 'ending', 'max_attempts',
            'retention_ms', 'accepted_at', 'deadline', 'window_ms', 'seed', 'ending_at', 'ending_from', 'paused_for',
            unpack(COUNTS))
          if not v[1] then
            batches[id] = false
            return false
          end
          local b = {id = id, gone = {}, cost = 0, seq = tonumber(v[1]), tenant = v[2], priority = v[3], state = v[4],
            ending = v[5], max_attempts = tonumber(v[6]), retention_ms = v[7], accepted_at = v[8], deadline = v[9],
            window_ms = v[10], seed = v[11], ending_at = tonumber(v[12] or 0), ending_from = tonumber(v[13] or 0),
            paused_for = v[14], remove_requests = {}, remove_live = {}}
          for i, name in ipairs(COUNTS) do b[name] = tonumber(v[14 + i]) end
          b.was_queued = b.queued
          batches[id] = b
          return b
        end

        -- Lines: requests of one priority, tenant and model.
        local lines = {}
        local function line(n)
          local known = lines[n]
          if known then return known end
          local v = call('HMGET', line_key(n), 'priority', 'tenant', 'model')
          known = {n = n, priority = v[1], tenant = v[2], model = v[3],
            queued = 0, tokens = 0, delayed = 0, leased = 0}
          lines[n] = known
          return known
        end
        local function line_number(b, model)
          local name = cjson.encode({b.priority, b.tenant, model})
          local n = call('HGET', LINES, name)
          if not n then
            n = tostring(call('HINCRBY', META, 'line', 1))
            call('HSET', LINES, name, n)
            call('HSET', line_key(n), 'priority', b.priority, 'tenant', b.tenant, 'model', model, 'queued', 0,
              'tokens', 0, 'delayed', 0, 'leased', 0, 'batches', 0)
          end
          -- It is kept as long as a batch is that has had requests of it.
          if call('SADD', part(b.id, 'uses'), n) == 1 then call('HINCRBY', line_key(n), 'batches', 1) end
          return n
        end

        -- Counts requests of a batch's line in or out, there and in the queue.
        local of_batches = {}
        local function count(b, n, queued, tokens, delayed, leased)
          local l = line(n)
          l.queued, l.tokens = l.queued + queued, l.tokens + tokens
          l.delayed, l.leased = l.delayed + delayed, l.leased + leased
          local of_batch = of_batches[b.id]
          if not of_batch then
            of_batch = {}
            of_batches[b.id] = of_batch
          end
          local c = of_batch[n]
          if not c then
            c = {q = 0, t = 0, d = 0, l = 0}
            of_batch[n] = c
          end
          c.q, c.t, c.d, c.l = c.q + queued, c.t + tokens, c.d + delayed, c.l + leased
        end

        -- A tenant gets queued requests: see JobQueue.lease. Where nobody has any, all begin anew.
        local function join(priority, tenant)
          local active = active_key(priority)
          local least = call('ZRANGE', active, 0, 0, 'WITHSCORES')
          if not least[1] then
            call('DEL', served_key(priority))
            call('ZADD', active, 0, tenant)
            call('ZADD', PRIORITIES, -tonumber(priority), priority)
            return
          end
          local own = tonumber(call('HGET', served_key(priority), tenant) or 0)
          call('ZADD', active, math.max(own, tonumber(least[2])), tenant)
          call('HDEL', served_key(priority), tenant)
        end
        local function leave(priority, tenant)
          local active = active_key(priority)
          call('HSET', served_key(priority), tenant, call('ZSCORE', active, tenant))
          call('ZREM', active, tenant)
          if call('ZCARD', active) == 0 then
            call('ZREM', PRIORITIES, priority)
            call('DEL', served_key(priority))
          end
        end
        local function save_lines()
          local lanes = {}
          for n, l in pairs(lines) do
            local key = line_key(n)
            if l.queued ~= 0 or l.leased ~= 0 or l.delayed ~= 0 then
              local queued = call('HINCRBY', key, 'queued', l.queued)
              local leased = call('HINCRBY', key, 'leased', l.leased)
              call('HINCRBY', key, 'tokens', l.tokens)
              call('HINCRBY', key, 'delayed', l.delayed)
              call(queued + leased > 0 and 'SADD' or 'SREM', BUSY, n)
              call(queued > 0 and 'SADD' or 'SREM', lane_lines_key(l.priority, l.tenant), n)
              if l.queued ~= 0 then
                lanes[l.priority] = lanes[l.priority] or {}
                lanes[l.priority][l.tenant] = (lanes[l.priority][l.tenant] or 0) + l.queued
              end
            end
          end
          for priority, tenants in pairs(lanes) do
            for tenant, change in pairs(tenants) do
              if change ~= 0 then
                local queued = call('HINCRBY', lanes_key(priority), tenant, change)
                if queued == 0 then
                  call('HDEL', lanes_key(priority), tenant)
                  leave(priority, tenant)
                elseif queued == change then
                  join(priority, tenant)
                end
              end
            end
          end
          lines = {}
        end

        -- The usage ledger: field [tenant, model, backend, what] of the day.
        local ledger = {}
        local function account(b, model, backend, state, at, prompt, completion, cached, cost)
          -- By nested tables, since names may have any bytes.
          local at_place = ledger
          for _, name in ipairs({math.floor(at / 86400000), b.tenant, model, backend}) do
            local next = at_place[name]
            if not next then
              next = {}
              at_place[name] = next
            end
            at_place = next
          end
          local outcome = state == 'completed' and 'completed' or 'unsuccessful'
          at_place[outcome] = (at_place[outcome] or 0) + 1
          at_place.prompt_tokens = (at_place.prompt_tokens or 0) + prompt
          at_place.completion_tokens = (at_place.completion_tokens or 0) + completion
          at_place.cached_tokens = (at_place.cached_tokens or 0) + cached
          at_place.cost_nanodollars = (at_place.cost_nanodollars or 0) + cost
        end
        local function save_ledger()
          for day, tenants in pairs(ledger) do
            call('ZADD', DAYS, text(day), text(day))
            for tenant, models in pairs(tenants) do
              for model, backends in pairs(models) do
                for backend, sums in pairs(backends) do
                  for what, change in pairs(sums) do
                    local field = cjson.encode({tenant, model, backend, what})
                    if change ~= 0 then call('HINCRBY', usage_key(text(day)), field, text(change)) end
                  end
                end
              end
            end
          end
        end

        -- Ends a request: its one outcome, its place in input order, counts and usage.
        local function end_request(b, ordinal, custom_id, line_of_file, model, state, attempt, at, o)
          local completion = b.completed + b.failed + b.cancelled + b.expired + 1
          call('XADD', part(b.id, 'results'), text(completion) .. '-0', 'ordinal', ordinal, 'custom_id', custom_id,
            'line', line_of_file, 'state', state, 'attempt', attempt, 'settled_at', text(at),
            'prompt_tokens', o.prompt or 0, 'completion_tokens', o.completion or 0, 'cached_tokens', o.cached or 0,
            'cost_nanodollars', o.cost or 0, 'backend', o.backend or '', 'timings', o.timings or '0 0 0',
            'status', o.status, 'error', o.error or '', 'response', o.response or '')
          call('SETRANGE', part(b.id, 'places'), ordinal * 4, struct.pack('>I4', completion))
          b[state] = b[state] + 1
          local prompt, generated = tonumber(o.prompt or 0), tonumber(o.completion or 0)
          local cached, cost = tonumber(o.cached or 0), tonumber(o.cost or 0)
          b.prompt_tokens = b.prompt_tokens + prompt
          b.completion_tokens = b.completion_tokens + generated
          b.cached_tokens = b.cached_tokens + cached
          b.cost = b.cost + cost
          account(b, model, o.backend or '', state, at, prompt, generated, cached, cost)
        end

        local function end_batch(b, state, at)
          b.state = state
          call('HSET', batch_key(b.id), 'ended_at', text(at))
          call('HDEL', batch_key(b.id), 'paused_for')
          call('ZREM', OPEN, b.id)
          call('ZREM', DEADLINES, b.id)
          if b.retention_ms then
            call('ZADD', FORGETS, math.min(at + tonumber(b.retention_ms), FOREVER), b.id)
          end
          call('UNLINK', part(b.id, 'live'), part(b.id, 'ids'), part(b.id, 'lines'))
        end

        -- Writes what the script changed. The last thing it does.
        local function finish()
          for id, b in pairs(batches) do
            if b then
              call_all('HDEL', part(id, 'requests'), b.remove_requests)
              call_all('HDEL', part(id, 'live'), b.remove_live)
              for n, changes in pairs(of_batches[id] or {}) do
                for what, change in pairs(changes) do
                  if change ~= 0 then call('HINCRBY', part(id, 'lines'), n .. ':' .. what, change) end
                end
              end
              if b.state == 'in_progress' and not b.ending and b.queued + b.leased == 0 then
                end_batch(b, 'completed', now)
              end
              local waits = b.state == 'in_progress' and not b.ending and b.queued > 0
              call(waits and 'ZADD' or 'ZREM', WAITING, unpack(waits and {b.accepted_at, id} or {id}))
              local fields = {'state', b.state}
              for _, name in ipairs(COUNTS) do
                fields[#fields + 1] = name
                fields[#fields + 1] = text(b[name])
              end
              call('HSET', batch_key(id), unpack(fields))
              -- Sums of money can pass 2^53, what one script adds cannot.
              if b.cost ~= 0 then call('HINCRBY', batch_key(id), 'cost_nanodollars', text(b.cost)) end
            end
          end
          save_lines()
          save_ledger()
        end

        -- A request as it is stored: 'endpoint line cost n length-of-id\n', custom_id, body.
        local function header(record)
          local line_of_file, cost, n, length, last = string.match(record, '^%S+ (%d+) (%d+) (%d+) (%d+)()\n')
          return {line = line_of_file, cost = tonumber(cost), n = n,
            custom_id = string.sub(record, last + 1, last + tonumber(length))}
        end

        -- What is kept of a request that was leased before: 'L' while it is, else 'Q'; then MessagePack.
        local function pack_live(mark, r)
          return mark .. cmsgpack.pack({r.attempt, r.failures, r.crashes, r.n, r.cost, r.line, r.custom_id, r.worker,
            r.last_code, r.last_message})
        end
        local function unpack_live(live)
          local v = cmsgpack.unpack(string.sub(live, 2))
          return {is_leased = string.sub(live, 1, 1) == 'L', attempt = v[1], failures = v[2], crashes = v[3], n = v[4],
            cost = v[5], line = v[6], custom_id = v[7], worker = v[8], last_code = v[9], last_message = v[10]}
        end

        -- What a lease holds; nil when it is lost.
        local function held(id, ordinal, attempt)
          local b = batch(id)
          if not b or b.state ~= 'in_progress' or b.ending or b.gone[ordinal] then return nil end
          local live = call('HGET', part(id, 'live'), ordinal)
          if not live then return nil end
          local r = unpack_live(live)
          if not r.is_leased or text(r.attempt) ~= attempt then return nil end
          return r, b
        end

        -- What came back may be leased now: with others, or by itself where it is a suspect (LeaseClaim.Suspects).
        local function offer(b, n, ordinal, crashes)
          if crashes < \#(LeaseClaim.suspectCrashes) then
            call('ZADD', back_key(b.id, n), ordinal, ordinal)
            call('ZADD', ready_key(n), b.seq, b.id)
          else
            call('ZADD', suspect_key(b.id, n), ordinal, ordinal)
            call('ZADD', suspects_key(n), b.seq, b.id)
            call('SADD', SUSPECTS, n)
          end
        end
        -- A batch has no suspects of the line any more.
        local function clear_suspects(id, n)
          call('ZREM', suspects_key(n), id)
          if call('EXISTS', suspects_key(n)) == 0 then call('SREM', SUSPECTS, n) end
        end

        local function queue_again(b, ordinal, r, not_before)
          call('HSET', part(b.id, 'live'), ordinal, pack_live('Q', r))
          call('ZREM', LEASES, b.id .. '/' .. ordinal)
          b.leased, b.queued = b.leased - 1, b.queued + 1
          if not_before then
            call('ZADD', DELAYED, not_before, b.id .. '/' .. ordinal .. '/' .. r.n)
          else
            offer(b, r.n, ordinal, r.crashes)
          end
          count(b, r.n, 1, r.cost, not_before and 1 or 0, -1)
        end

        -- Ends what was leased.
        local function end_leased(b, ordinal, r, state, o, is_dead)
          end_request(b, ordinal, r.custom_id, r.line, line(r.n).model, state, r.attempt, now, o)
          call('ZREM', LEASES, b.id .. '/' .. ordinal)
          b.gone[ordinal] = true
          b.remove_live[#b.remove_live + 1] = ordinal
          if is_dead then
            call('ZADD', part(b.id, 'dead'), ordinal, ordinal)
          else
            b.remove_requests[#b.remove_requests + 1] = ordinal
          end
          b.leased = b.leased - 1
          count(b, r.n, 0, 0, 0, -1)
        end

        -- Counts a failed attempt: queued again, or ended when no attempts are left.
        local function fail(b, ordinal, r, e, is_crash, not_before)
          r.failures = r.failures + 1
          if is_crash then r.crashes = r.crashes + 1 end
          if r.failures < b.max_attempts then
            r.last_code, r.last_message, r.worker = e.code, e.message, ''
            return queue_again(b, ordinal, r, not_before)
          end
          local error = cjson.encode({code = 'attempts_exhausted', param = e.param, status = e.status,
            message = text(r.failures) .. ' of ' .. text(b.max_attempts) .. ' attempts failed; the last: ' .. e.code
              .. ': ' .. e.message})
          end_leased(b, ordinal, r, 'failed', {status = e.status, error = error}, true)
        end

        """#
}
