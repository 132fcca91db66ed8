//! The Lua scripts: what Redis must do in one step. Each states its keys and arguments; nothing here decides anything.

use std::sync::LazyLock;

use redis::Script;

/// Gives every tag a nonce that has none (or something that is none), and returns all of them.
///
/// KEYS: the tags' nonces. ARGV: time to live in ms, then one new nonce for each key.
pub(super) static CREATE_NONCES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local nonces = redis.call('MGET', unpack(KEYS))
        for i, key in ipairs(KEYS) do
            if not nonces[i] or #nonces[i] ~= 8 then
                nonces[i] = ARGV[i + 1]
                redis.call('SET', key, nonces[i], 'PX', ARGV[1])
            end
        end
        return nonces
        ",
    )
});

/// Stores an entry, only if all of its tags still have the nonces that it was loaded under. Returns 1 if it did, else 0.
///
/// KEYS: the entry, then the tags' nonces. ARGV: the entry's bytes, its time to live in ms, then the nonce for each tag.
pub(super) static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local nonces = redis.call('MGET', unpack(KEYS, 2))
        for i = 1, #KEYS - 1 do
            if nonces[i] ~= ARGV[i + 2] then
                return 0
            end
        end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
        ",
    )
});

/// Invalidates tags: a fresh nonce for each, a number, a line in the log, a message to all replicas. Returns the number.
///
/// KEYS: the counter, the log, then the tags' nonces. ARGV: the envelope, the channel, time to live of nonces in ms, the
/// log's length, then one new nonce for each tag.
pub(super) static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        for i = 3, #KEYS do
            redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[3])
        end
        local seq = redis.call('INCR', KEYS[1])
        local number = string.format('%.0f', seq)
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 's', number, 'm', ARGV[1])
        redis.call('PUBLISH', ARGV[2], number .. ' ' .. ARGV[1])
        return seq
        ",
    )
});
