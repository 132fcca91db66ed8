//! The Lua scripts: what Redis must do in one step. Each states its keys and arguments; nothing here decides anything.
//!
//! Scripts that touch the row of invalidations begin with the same three keys: its life, its counter, its log. A *life*
//! is a random name that the row gets when it begins: numbers are comparable within one life only, and whoever sees
//! another one knows that the row began anew (an emptied, restarted or evicting Redis).

use std::sync::LazyLock;

use redis::Script;

/// Begins a new life if the counter or its life is gone. KEYS: life, counter, log. ARGV: a new life.
const LIFE: &str = r"
    local life, seq = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
    if not life or not seq then
        life, seq = ARGV[1], '0'
        redis.call('SET', KEYS[1], life)
        redis.call('SET', KEYS[2], seq)
        redis.call('DEL', KEYS[3])
    end
";

/// Numbers an invalidation, logs it and tells all replicas. ARGV: new life, envelope, channel, TTL of nonces in ms,
/// length of the log. A log whose newest number is not below this one belongs to another life and goes; what is refused
/// then ends the script, and the number without its line is a gap that replicas see.
const ANNOUNCE: &str = r"
    seq = string.format('%.0f', redis.call('INCR', KEYS[2]))
    local function append(run)
        return run('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], seq .. '-0', 'm', ARGV[2])
    end
    local appended = append(redis.pcall)
    if type(appended) == 'table' and appended.err then
        redis.call('DEL', KEYS[3])
        append(redis.call)
    end
    redis.call('PUBLISH', ARGV[3], seq .. ' ' .. life .. ' ' .. ARGV[2])
";

/// Writes as an invalidation does (the generation of a tag, a count, a line of a log), so that Redis refuses the one if
/// it would refuse the other: out of memory, without its replicas, read-only, after a failed snapshot, without a right.
/// What it writes means nothing: the generation is set only if it is missing, which invalidates nothing.
///
/// KEYS: life, counter, log, the nonce of `all`, a count, a log. ARGV: a new life, a new nonce, its TTL in ms.
const BEAT: &str = r"
    redis.call('SET', KEYS[4], ARGV[2], 'NX', 'PX', ARGV[3])
    redis.call('INCR', KEYS[5])
    redis.call('XADD', KEYS[6], 'MAXLEN', '~', '1', '*', 'm', '')
";

fn script(parts: &[&str]) -> Script {
    Script::new(&parts.concat())
}

/// Invalidates tags: a fresh nonce for each, a number, a line in the log, a message to all replicas. Returns the life
/// and the number.
///
/// KEYS: life, counter, log, then the tags' nonces. ARGV: as [`ANNOUNCE`], then one new nonce for each tag.
pub(super) static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    let renew = r"
        for i = 4, #KEYS do
            redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[4])
        end
    ";
    script(&[LIFE, renew, ANNOUNCE, "return {life, tonumber(seq)}"])
});

/// Compares the server's run with the one that the data was last seen under. Another one means that the data may be
/// older than what replicas have seen: a new life, and `all` is invalidated. Returns 1 if it was, else 0.
///
/// KEYS: life, counter, log, the nonce of `all`, the run. ARGV: as [`ANNOUNCE`] (envelope of `all`), its new nonce, the
/// run, 1 if `all` is to be invalidated in any case.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    let compare = r"
        if ARGV[8] ~= '1' and redis.call('GET', KEYS[5]) == ARGV[7] then
            return 0
        end
        redis.call('SET', KEYS[5], ARGV[7])
        redis.call('DEL', KEYS[1])
        redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[4])
    ";
    script(&[compare, LIFE, ANNOUNCE, "return 1"])
});

/// Writes as an invalidation does, then publishes the newest number to one replica's own channel: a lease on L1 is
/// worth something only where an invalidation could have been stored. Returns nothing of interest.
///
/// KEYS: as [`BEAT`]. ARGV: as [`BEAT`], then the channel, and what the replica wants to read back.
pub(super) static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    let publish = "return redis.call('PUBLISH', ARGV[4], seq .. ' ' .. life .. ' ' .. ARGV[5])";
    script(&[LIFE, BEAT, publish])
});

/// Uses every command and every kind of key that the other scripts use, so that a right that is missing shows when the
/// connection is opened. Returns 1.
///
/// KEYS: as [`BEAT`], then an entry and a lock that nobody reads. ARGV: as [`BEAT`].
pub(super) static PROVE: LazyLock<Script> = LazyLock::new(|| {
    let rehearse = r"
        redis.call('MGET', KEYS[4], KEYS[7], KEYS[8])
        redis.call('SET', KEYS[7], '', 'PX', '1000')
        redis.call('SET', KEYS[8], '', 'PX', '1000')
        redis.call('DEL', KEYS[7], KEYS[8])
        redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', '1')
        return 1
    ";
    script(&[LIFE, BEAT, rehearse])
});

/// What happened since a number: the life, the newest number and, if both are known to go together, the log in between.
///
/// KEYS: life, counter, log. ARGV: a new life, the life and the number seen last, how many messages at most.
pub(super) static SYNC: LazyLock<Script> = LazyLock::new(|| {
    let read = r"
        local messages = {}
        if life == ARGV[2] and tonumber(seq) > tonumber(ARGV[3]) then
            messages = redis.call('XRANGE', KEYS[3], '(' .. ARGV[3] .. '-0', '+', 'COUNT', ARGV[4])
        end
        return {life, seq, messages}
    ";
    script(&[LIFE, read])
});

/// The start of a load: gives every tag a nonce that has none (or something that is none), tries the key's lock, and
/// looks at the entry again. Returns whether the lock was taken (1 or 0), the entry, and the nonces.
///
/// KEYS: the entry, the lock, then the tags' nonces. ARGV: TTL of nonces in ms, the lock's token (empty: no lock), the
/// lock's TTL in ms, then one new nonce for each tag.
pub(super) static BEGIN_LOAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local nonces = redis.call('MGET', unpack(KEYS, 3))
        for i = 1, #KEYS - 2 do
            if not nonces[i] or #nonces[i] ~= 8 then
                nonces[i] = ARGV[i + 3]
                redis.call('SET', KEYS[i + 2], nonces[i], 'PX', ARGV[1])
            end
        end
        local locked = 0
        if ARGV[2] ~= '' and redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
            locked = 1
        end
        local entry = redis.pcall('GET', KEYS[1])
        if type(entry) == 'table' then
            entry = false
        end
        return {locked, entry, nonces}
        ",
    )
});

/// The end of a load: stores the entry, only if all of its tags still have the nonces that it was loaded under, and
/// gives the lock back if it is still ours. Returns 1 if it stored, else 0.
///
/// KEYS: the entry, the lock, then the tags' nonces. ARGV: the entry's bytes, its time to live in ms, the lock's token,
/// then the nonce for each tag.
pub(super) static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local nonces = redis.call('MGET', unpack(KEYS, 3))
        local current = 1
        for i = 1, #KEYS - 2 do
            if nonces[i] ~= ARGV[i + 3] then
                current = 0
            end
        end
        if current == 1 then
            redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        end
        if ARGV[3] ~= '' and redis.call('GET', KEYS[2]) == ARGV[3] then
            redis.call('DEL', KEYS[2])
        end
        return current
        ",
    )
});

/// Gives a lock back, only if it is still ours. KEYS: the lock. ARGV: its token.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            return redis.call('DEL', KEYS[1])
        end
        return 0
        ",
    )
});
