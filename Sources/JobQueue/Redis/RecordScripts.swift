/// Scripts of single batches' pauses and of records.
extension RedisScript {
    /// KEYS: meta.
    /// ARGV: now, batch, reason ('': it goes on).
    /// Returns 'unknown', 'done', or the state of a batch that has ended.
    static let pauseBatch = RedisScript(
        "pause-batch",
        #"""
        local b = batch(ARGV[2])
        if not b then return 'unknown' end
        if ARGV[3] == '' then
          call('HDEL', batch_key(b.id), 'paused_for')
          return 'done'
        end
        if call('HEXISTS', batch_key(b.id), 'ended_at') == 1 or b.ending then
          return b.ending or b.state
        end
        -- One byte before it, so that a reason can be empty.
        call('HSET', batch_key(b.id), 'paused_for', string.sub(ARGV[3], 2))
        return 'done'
        """#)

    /// KEYS: meta.
    /// ARGV: now, names.
    /// Returns the values and then the versions, null where there is none.
    static let readRecords = RedisScript(
        "read-records",
        #"""
        local names = {unpack(ARGV, 2)}
        return {call('HMGET', RECORDS, unpack(names)), call('HMGET', RECORD_VERSIONS, unpack(names))}
        """#)

    /// Writes all, or nothing when a version is not the expected.
    /// KEYS: meta.
    /// ARGV: now, then for each record its name, the version expected ('': none), 'set' or 'remove', the value.
    /// Returns 1 or 0.
    static let writeRecords = RedisScript(
        "write-records",
        #"""
        for i = 2, #ARGV, 4 do
          if (call('HGET', RECORD_VERSIONS, ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
        end
        for i = 2, #ARGV, 4 do
          if ARGV[i + 2] == 'set' then
            call('HSET', RECORDS, ARGV[i], ARGV[i + 3])
            call('HSET', RECORD_VERSIONS, ARGV[i], text(call('HINCRBY', META, 'records', 1)))
          else
            call('HDEL', RECORDS, ARGV[i])
            call('HDEL', RECORD_VERSIONS, ARGV[i])
          end
        end
        return 1
        """#)
}
