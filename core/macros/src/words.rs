//! Maps argument names of other libraries, and planned ones, to the names of retainit.

/// Returns the name of retainit for an unknown word.
pub(crate) fn in_retainit(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, here)| *here)
}

/// Argument names of `cached`, `moka`, `memoize`, cachetools, cashews, FusionCache and Spring Cache.
const WORDS: &[(&[&str], &str)] = &[
    (
        &[
            "time",
            "time_secs",
            "time_millis",
            "ttl_secs",
            "ttl_millis",
            "ttl_seconds",
            "time_to_live",
            "expire",
            "expires",
            "expires_in",
            "expire_after",
            "expire_after_write",
            "expiration",
            "expiry",
            "max_age",
            "lifespan",
            "duration",
            "TimeToLive",
        ],
        "`ttl`, as in `ttl = \"60s\"` or `ttl = 60`",
    ),
    (
        &[
            "time_to_idle",
            "tti",
            "idle",
            "idle_time",
            "sliding",
            "sliding_expiration",
            "expire_after_access",
            "time_refresh",
            "refresh_on_hit",
        ],
        "`max_idle`, as in `max_idle = \"10m\"`",
    ),
    (
        &["size", "max_size", "maxsize", "max_capacity", "capacity", "cap", "limit", "unbound", "unbounded"],
        "`max_entries`, as in `max_entries = 10_000`, for the entries of this function in memory; the setting `max_entries` \
         of a backend bounds those of all functions together",
    ),
    (
        &["result", "cache_ok", "skip_errors"],
        "what happens without an argument: `Err` is not stored, unless `err_ttl = \"1s\"` asks for it",
    ),
    (
        &["option", "cache_some", "skip_none"],
        "what happens without an argument: `None` is not stored, unless `none_ttl = \"10s\"` asks for it",
    ),
    (&["cache_none", "negative_ttl", "cache_null", "store_none"], "`none_ttl`, as in `none_ttl = \"10s\"`"),
    (&["cache_errors", "cache_err", "error_ttl", "store_errors"], "`err_ttl`, as in `err_ttl = \"1s\"`"),
    (
        &["convert", "key_expr", "key_fn", "key_builder", "key_generator", "keyGenerator", "make_key", "key_template"],
        "`key`, a template such as `key = \"user:{id}\"` or an expression such as `key = (id, &region)`",
    ),
    (
        &[
            "sync_writes",
            "sync_lock",
            "sync",
            "sync_writes_buckets",
            "lock",
            "locked",
            "protected",
            "coalesce",
            "singleflight",
            "dedupe",
        ],
        "what happens without an argument: calls that miss one key at the same time load it once, and \
         `single_flight = \"off\"` turns that off",
    ),
    (
        &["name", "cache_name", "cacheNames", "cache_names", "identity"],
        "`id` for the name of the function in keys, as in `id = \"users.get\"`, and `backend` for a backend's",
    ),
    (
        &[
            "ty",
            "create",
            "store",
            "cache",
            "storage",
            "disk",
            "disk_dir",
            "redis",
            "memory",
            "map_error",
            "SharedCacheType",
            "CustomHasher",
        ],
        "`backend = \"name\"`; what a backend is made of says `register_backend` or `retainit.toml`",
    ),
    (
        &["namespace", "prefix", "key_prefix", "cache_prefix_block", "keyspace"],
        "the `namespace` of the instance, in `retainit.toml`",
    ),
    (&["in_impl"], "`assoc`, and for a method `skip(self)` or a `key` that names what of `self` it depends on"),
    (&["noself", "skip_self"], "`skip(self)`"),
    (&["ignore", "ignore_args", "exclude", "skip_args", "without"], "`skip`, as in `skip(token)`"),
    (
        &["condition", "cache_if", "only_if", "unless", "predicate", "filter", "store_if"],
        "`when`, as in `when = |r| !r.is_empty()`",
    ),
    (&["with_cached_flag"], "asked of the handle: `user::cache().get(&id)` is a `Lookup::Hit` or a `Miss`"),
    (
        &["force_refresh", "force", "prime", "prime_cache"],
        "asked of the handle: `user::cache().refresh(id)` for one key, `warm` for those that are missing",
    ),
    (&["no_cache", "bypass", "bypass_cache"], "around the call: `retainit::disabled(user(id)).await`, `disabled_sync`"),
    (
        &["ttl_fn", "ttl_of", "expire_by", "per_value_ttl", "expire_after_create"],
        "`ttl` with a closure over the value, as in `ttl = |token| token.expires_in`",
    ),
    (&["weight", "weigher", "weigh"], "a trait of the value, `retainit::Weigh`"),
    (
        &["timeout", "factory_timeout", "load_timeout"],
        "not there yet: put `tokio::time::timeout` around what the function does; `max_load_time` is how long other callers \
         wait for it",
    ),
    (
        &["retry", "retries", "attempts"],
        "an attribute of its own, `#[retry]`, which is not there yet: retry in the function",
    ),
    (
        &["rate_limit", "rate", "circuit_breaker", "bulkhead", "throttle"],
        "an attribute of its own, which is not there yet: limit calls in the function",
    ),
    (
        &["result_fallback", "fail_safe", "stale_if_error", "failover"],
        "`grace`, which is not there yet: `err_ttl` keeps a failing load from being repeated",
    ),
    (
        &["stale_while_revalidate", "swr", "early", "soft_ttl", "background_refresh"],
        "`stale` and `refresh`, which are not there yet: a task of yours can call the handle's `refresh` before the ttl ends",
    ),
];

const REFRESH: &str = "until then a task of yours can call the handle's `refresh` before the ttl ends";
const GRACE: &str = "until then `err_ttl` keeps a failing load from being repeated";
const TIMEOUT: &str = "until then put `tokio::time::timeout` around what the function does";

/// Planned arguments of `#[retain]`, each with the remedy until it exists.
pub(crate) const LATER: &[(&str, &str)] = &[
    ("stale", REFRESH),
    ("grace", GRACE),
    ("grace_if", GRACE),
    ("refresh", REFRESH),
    ("eager", REFRESH),
    ("xfetch", REFRESH),
    ("scope", "until then put the tenant into `key` and into a tag, as in `tags(\"tenant:{tenant}\")`"),
    ("compression", "until then values are stored as the serializer writes them"),
    ("encryption", "until then keep what has to be secret in a backend in memory"),
    ("soft_timeout", TIMEOUT),
    ("hard_timeout", TIMEOUT),
];

/// Planned attributes.
pub(crate) const ATTRIBUTES_LATER: [&str; 6] =
    ["rate_limit", "circuit_breaker", "retry", "bulkhead", "timeout", "timed"];

/// Returns the message of a planned attribute.
pub(crate) fn attribute_later(name: &str) -> String {
    let instead = match name {
        "rate_limit" => "limit calls in the function, for example with the crate `governor`",
        "circuit_breaker" | "bulkhead" => "do it in the function, or around its client with `tower`",
        "retry" => "retry in the function, for example with the crate `backon`",
        "timeout" => "put `tokio::time::timeout` around what the function does",
        _ => "the statistics and events of the cache have the times of loads",
    };
    format!("`#[{name}]` is not there yet; until then {instead}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_word_means_one_thing() {
        let mut seen = BTreeSet::new();
        for word in WORDS.iter().flat_map(|(words, _)| *words) {
            assert!(seen.insert(*word), "{word} stands there twice");
            assert!(LATER.iter().all(|(later, _)| later != word), "{word} is planned");
        }
        assert!(in_retainit("time_to_live").is_some_and(|here| here.starts_with("`ttl`")));
        assert_eq!(in_retainit("colour"), None);
    }
}
