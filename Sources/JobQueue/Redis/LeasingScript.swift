/// The script that chooses what a worker gets: JobQueue.lease says by which rules.
extension RedisScript {
    /// Reads ahead of each tenant's requests in pages, chooses one by one, and writes once at the end.
    ///
    /// KEYS: meta.
    /// ARGV: now, worker, most requests, most tokens ('-': no limit), lease in ms, most bytes of requests, tokens
    /// leased in calls before that this one goes on, suspects (`LeaseClaim.Suspects`), 'take' or 'look', '*' or the
    /// models' number, the models, '*' or the batches' number, the batches.
    /// Returns, for 'look', whether it would lease something; else {why it stopped, batches, models, requests}: 'full'
    /// (of this call's bytes), 'tokens' or 'out'; a batch is id, tenant, priority, seed, deadline ('-': none); a
    /// request is the place of its batch, ordinal, attempt, crashes, the place of its model, the stored request.
    static let lease = RedisScript(
        "lease",
        #"""
        local worker, most, most_tokens, most_bytes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
        local expires, before = math.min(now + tonumber(ARGV[5]), FOREVER), tonumber(ARGV[7])
        local suspects, looks = ARGV[8], ARGV[9] == 'look'
        local nothing = looks and 0 or {'out', {}, {}, {}}
        if call('HGET', META, 'paused') == '1' then return nothing end
        begin_freeing()
        local models, wanted
        local rest = 11
        if ARGV[10] ~= '*' then
          models = {[''] = true}
          for i = 1, tonumber(ARGV[10]) do models[ARGV[10 + i]] = true end
          rest = 11 + tonumber(ARGV[10])
        end
        if ARGV[rest] ~= '*' then
          wanted = {}
          for i = 1, tonumber(ARGV[rest]) do wanted[ARGV[rest + i]] = true end
        end

        -- Requests whose retry is due are like any others; each is moved once.
        for _, member in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', text(now), 'LIMIT', 0, 1000)) do
          local id, ordinal, n = string.match(member, '^(.*)/(%d+)/(%d+)$')
          call('ZREM', DELAYED, member)
          local b = batch(id)
          if b and b.state == 'in_progress' and not b.ending then
            offer(b, n, ordinal, unpack_live(call('HGET', part(id, 'live'), ordinal)).crashes)
            count(b, n, 0, 0, -1, 0)
          end
        end

        -- Lines with suspects are few, and looked up only where suspects may be leased.
        local suspected, is_suspected = {}, {}
        if suspects ~= 'none' then suspected = call('SMEMBERS', SUSPECTS) end
        for _, n in ipairs(suspected) do is_suspected[n] = true end
        if suspects == 'one' then
          if #suspected == 0 then
            finish()
            return nothing
          end
          most = math.min(most, 1)
        end

        -- A reader of one line: its batches by age, in each what came back and what was never leased, by ordinal; or
        -- the same of its suspects.
        local function reader(n, is_of_suspects)
          local r = {n = n, at = 0, page = 1}
          local back_key = is_of_suspects and suspect_key or back_key
          local batches_key = is_of_suspects and suspects_key(n) or ready_key(n)
          local function fill()
            if #r.back - r.at_back == 0 and r.more_back then
              local skip = #r.taken_back
              r.back = call('ZRANGE', back_key(r.b.id, n), skip, skip + r.page - 1)
              r.at_back, r.more_back = 0, #r.back == r.page
            end
            if #r.fresh - r.at_fresh == 0 and r.more_fresh then
              r.fresh = call('LRANGE', fresh_key(r.b.id, n), r.taken_fresh, r.taken_fresh + r.page - 1)
              r.at_fresh, r.more_fresh = 0, #r.fresh == r.page
            end
          end
          local function read(ordinals, from)
            local left = {}
            for i = from + 1, #ordinals do left[#left + 1] = ordinals[i] end
            local records = call('HMGET', part(r.b.id, 'requests'), unpack(left))
            for i, ordinal in ipairs(left) do r.records[ordinal] = records[i] end
          end
          -- Writes what was taken of the batch.
          function r.close()
            if not r.b then return end
            local id = r.b.id
            if r.taken_fresh > 0 then call('LTRIM', fresh_key(id, n), r.taken_fresh, -1) end
            call_all('ZREM', back_key(id, n), r.taken_back)
            if is_of_suspects then
              if call('EXISTS', back_key(id, n)) == 0 then clear_suspects(id, n) end
            elseif call('EXISTS', fresh_key(id, n), back_key(id, n)) == 0 then
              call('ZREM', batches_key, id)
            end
            r.b = nil
          end
          -- The next request: {b, ordinal, record}; nil when there is none.
          function r.peek()
            while not r.head do
              if not r.b then
                local next = call('ZRANGE', batches_key, r.at, r.at)[1]
                if not next then return nil end
                r.at = r.at + 1
                local b = batch(next)
                local is_open = b and not b.ending and not b.paused_for and (not wanted or wanted[next])
                if is_open and (not b.deadline or tonumber(b.deadline) > now) then
                  r.b, r.back, r.at_back, r.more_back, r.taken_back = b, {}, 0, true, {}
                  r.fresh, r.at_fresh, r.more_fresh, r.taken_fresh, r.records = {}, 0, not is_of_suspects, 0, {}
                end
              else
                fill()
                local back, fresh = r.back[r.at_back + 1], r.fresh[r.at_fresh + 1]
                if not back and not fresh then
                  local there = call('ZCARD', batches_key)
                  r.close()
                  -- The batch may have left the list that `at` counts in.
                  r.at = r.at - (there - call('ZCARD', batches_key))
                else
                  local is_back = back and (not fresh or tonumber(back) < tonumber(fresh))
                  local ordinal = is_back and back or fresh
                  if not r.records[ordinal] then
                    read(is_back and r.back or r.fresh, is_back and r.at_back or r.at_fresh)
                  end
                  r.head = {b = r.b, ordinal = ordinal, is_back = is_back, n = n, record = r.records[ordinal]}
                  r.head.cost = tonumber(string.match(r.head.record, '^%S+ %d+ (%d+)'))
                end
              end
            end
            return r.head
          end
          function r.pop()
            local h = r.head
            r.head, r.records[h.ordinal] = nil, nil
            if h.is_back then
              r.at_back = r.at_back + 1
              r.taken_back[#r.taken_back + 1] = h.ordinal
            else
              r.at_fresh, r.taken_fresh = r.at_fresh + 1, r.taken_fresh + 1
            end
            r.page = math.min(r.page * 2, 64)
          end
          return r
        end

        -- By bytes: Lua compares as the server's locale does.
        local function comes_before(a, b)
          for i = 1, math.min(#a, #b) do
            local x, y = string.byte(a, i), string.byte(b, i)
            if x ~= y then return x < y end
          end
          return #a < #b
        end

        -- A tenant's lane: the readers of its lines that suit, merged by age.
        local function lane(priority, tenant, served)
          local readers = {}
          for _, n in ipairs(call('SMEMBERS', lane_lines_key(priority, tenant))) do
            if not models or models[line(n).model] then
              if suspects ~= 'one' then readers[#readers + 1] = reader(n) end
              if is_suspected[n] then readers[#readers + 1] = reader(n, true) end
            end
          end
          local function head()
            local best
            for _, r in ipairs(readers) do
              local h = r.peek()
              if h and (not best or h.b.seq < best.head.b.seq
                or (h.b == best.head.b and tonumber(h.ordinal) < tonumber(best.head.ordinal))) then best = r end
            end
            return best
          end
          return {tenant = tenant, served = served, head = head, readers = readers}
        end

        local why, leased, tokens, bytes, live, scores = 'out', {}, before, 0, {}, {}
        local batch_places, batch_list, model_places, model_list = {}, {}, {}, {}
        local function take(h)
          local r = header(h.record)
          local old = h.is_back and unpack_live(call('HGET', part(h.b.id, 'live'), h.ordinal))
          r.attempt, r.failures = old and old.attempt + 1 or 1, old and old.failures or 0
          r.crashes, r.worker = old and old.crashes or 0, worker
          r.last_code, r.last_message = old and old.last_code or '', old and old.last_message or ''
          live[h.b.id] = live[h.b.id] or {}
          local list = live[h.b.id]
          list[#list + 1] = h.ordinal
          list[#list + 1] = pack_live('L', r)
          scores[#scores + 1] = text(expires)
          scores[#scores + 1] = h.b.id .. '/' .. h.ordinal
          h.b.queued, h.b.leased = h.b.queued - 1, h.b.leased + 1
          count(h.b, h.n, -1, -r.cost, 0, 1)
          if not batch_places[h.b.id] then
            batch_list[#batch_list + 1] = {h.b.id, h.b.tenant, h.b.priority, h.b.seed, h.b.deadline or '-'}
            batch_places[h.b.id] = #batch_list
          end
          if not model_places[h.n] then
            model_list[#model_list + 1] = line(h.n).model
            model_places[h.n] = #model_list
          end
          leased[#leased + 1] = {batch_places[h.b.id], h.ordinal, r.attempt, r.crashes, model_places[h.n], h.record}
          tokens, bytes = tokens + r.cost, bytes + #h.record
        end

        local function is_first(a, b)
          return a.served < b.served or (a.served == b.served and comes_before(a.tenant, b.tenant))
        end
        -- Tenants with suspects of a priority, as they are listed: {tenant, tokens, ...}.
        local function suspected_tenants(priority)
          local found, names, page = {}, {}, {}
          for _, n in ipairs(suspected) do
            local l = line(n)
            if l.priority == priority and not names[l.tenant] then
              names[l.tenant] = true
              local served = call('ZSCORE', active_key(priority), l.tenant)
              found[#found + 1] = {tenant = l.tenant, served = tonumber(served or 0)}
            end
          end
          table.sort(found, is_first)
          for _, t in ipairs(found) do
            page[#page + 1] = t.tenant
            page[#page + 1] = t.served
          end
          return page
        end

        for _, priority in ipairs(call('ZRANGE', PRIORITIES, 0, -1)) do
          if #leased >= most or why ~= 'out' then break end
          -- Tenants by the fewest tokens, then by name, as listed; read in pages, opened when it is their turn.
          local lanes, all, page, page_at, pages = {}, {}, {}, 1, 0
          if suspects == 'one' then page, pages = suspected_tenants(priority), -1 end
          local function unopened()
            if page_at > #page and pages >= 0 then
              page, page_at = call('ZRANGE', active_key(priority), pages, pages + 31, 'WITHSCORES'), 1
              pages = #page == 64 and pages + 32 or -1
            end
            if page[page_at] then return {tenant = page[page_at], served = tonumber(page[page_at + 1])} end
          end
          while #leased < most do
            local at
            for i = 1, #lanes do
              if not at or is_first(lanes[i], lanes[at]) then at = i end
            end
            local next = unopened()
            if next and (not at or is_first(next, lanes[at])) then
              at = #lanes + 1
              lanes[at] = lane(priority, next.tenant, next.served)
              all[#all + 1] = lanes[at]
              page_at = page_at + 2
            end
            if not at then break end
            local r = lanes[at].head()
            if not r then
              table.remove(lanes, at)
            elseif looks then
              why = 'found'
              break
            elseif most_tokens and (#leased > 0 or before > 0) and r.head.cost > most_tokens - tokens then
              why = 'tokens'
              break
            elseif #leased > 0 and bytes + #r.head.record > most_bytes then
              why = 'full'
              break
            else
              lanes[at].served = lanes[at].served + r.head.cost
              lanes[at].is_charged = true
              take(r.head)
              r.pop()
            end
          end
          for _, l in ipairs(all) do
            for _, r in ipairs(l.readers) do r.close() end
            if l.is_charged then call('ZADD', active_key(priority), text(l.served), l.tenant) end
          end
        end
        for id, list in pairs(live) do call_all('HSET', part(id, 'live'), list) end
        call_all('ZADD', LEASES, scores)
        finish()
        if looks then return why == 'found' and 1 or 0 end
        return {why, batch_list, model_list, leased}
        """#)
}
