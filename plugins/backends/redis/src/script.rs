//! Scripts that run in the server, each as one step. Each declares its keys, which share a slot.

use std::sync::{Arc, LazyLock};

use crate::client::{Argument, Command, command, digest};

/// A script, which is sent by its digest and as a whole where the server does not have it.
#[derive(Debug)]
pub(crate) struct Script {
    code: &'static str,
    /// The commands that it runs, for the user who lacks the permission for one.
    pub(crate) commands: &'static [&'static str],
    digest: LazyLock<String>,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident runs $commands:expr => $code:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) static $name: Script =
            Script { code: $code, commands: &$commands, digest: LazyLock::new(|| digest($code)) };
    )*};
}

impl Script {
    /// Returns the command that runs it.
    pub(crate) fn on(&self, keys: &[&str]) -> Command {
        let mut run = command("EVALSHA");
        run.arg(self.digest.as_str()).arg(keys.len()).arg(keys);
        run
    }

    /// Returns the same command with the whole script, which the server keeps from then on.
    pub(crate) fn whole(&self, by_digest: &Command) -> Arc<Command> {
        let mut run = command("EVAL");
        run.arg(self.code);
        for argument in by_digest.args_iter().skip(2) {
            if let Argument::Simple(bytes) = argument {
                run.arg(bytes);
            }
        }
        Arc::new(run)
    }
}

scripts! {
    /// Stores `ARGV[2]` for `ARGV[3]` milliseconds, or for ever, if the slot still shows the generation `ARGV[1]`.
    STORE runs ["getrange", "set"] => r"
if redis.call('GETRANGE', KEYS[1], 1, 8) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1";

    /// Empties the slot; 1 if an entry was in it.
    REMOVE runs ["getrange", "unlink"] => r"
local head = redis.pcall('GETRANGE', KEYS[1], 0, 0)
return redis.call('UNLINK', KEYS[1]) == 1 and head ~= 'P' and 1 or 0";

    /// Returns what is in the slot, or leaves the placeholder `ARGV[1]` in it for `ARGV[2]` milliseconds. Servers from 7.0
    /// on do this by `SET … NX GET`.
    TAKE runs ["get", "set"] => r"
local found = redis.call('GET', KEYS[1])
if not found then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return found";

    /// Keeps the placeholder `ARGV[1]` for `ARGV[2]` milliseconds from now on.
    RENEW runs ["get", "pexpire"] => r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

    /// Empties a slot that holds the placeholder `ARGV[1]`.
    RELEASE runs ["get", "unlink"] => r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])";

    /// Returns the versions of groups; those that have none begin at the bases from `ARGV[2]` on, for `ARGV[1]`
    /// milliseconds. A server without memory leaves them without.
    MAKE_VERSIONS runs ["mget", "set"] => r"
local found = redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
    if not found[i] then
        local made = redis.pcall('SET', key, ARGV[i + 1], 'PX', ARGV[1])
        if made.err == nil then found[i] = ARGV[i + 1] end
    end
end
return found";

    /// Keeps the versions of groups for at least `ARGV[1]` milliseconds from now on, or for ever.
    KEEP_VERSIONS runs ["pttl", "pexpire", "persist"] => r"
for _, key in ipairs(KEYS) do
    local left = redis.call('PTTL', key)
    if ARGV[1] == '' then
        if left >= 0 then redis.call('PERSIST', key) end
    elseif left >= 0 and left < tonumber(ARGV[1]) then
        redis.call('PEXPIRE', key, ARGV[1])
    end
end";

    /// Raises the counter `ARGV[1]` of a group, `h` or `s`. One without begins at `ARGV[2]`, for `ARGV[3]` milliseconds. A
    /// server without memory loses the version instead: one that is absent matches no entry.
    RAISE runs ["get", "set", "unlink"] => r"
local hard, soft = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
local new, set
if not hard then
    new = ARGV[2]
    set = redis.pcall('SET', KEYS[1], new, 'PX', ARGV[3])
else
    if ARGV[1] == 'h' then hard = hard + 1 else soft = soft + 1 end
    new = string.format('%.0f %.0f', hard, soft)
    set = redis.pcall('SET', KEYS[1], new, 'KEEPTTL')
end
if set.err then
    redis.call('UNLINK', KEYS[1])
    return ARGV[2]
end
return new";
}
