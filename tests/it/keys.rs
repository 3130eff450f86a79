//! Tests keys and tags as the attribute's arguments make them.

use std::collections::BTreeSet;

use retainit::{Retainit, retain};
use retainit_testkit::{ByteConfig, ManualClock};
use serde::Serialize;

use crate::common::{Runs, Stage};

static TEMPLATES: Runs = Runs::new();

#[retain(key = "user:{user_id}")]
fn named(user_id: u64, _trace: &str) -> u64 {
    TEMPLATES.add() + user_id
}

#[retain(key = "user:{}")]
fn positional(user_id: u64, _trace: &str) -> u64 {
    TEMPLATES.add() + user_id
}

#[retain(key = "one")]
fn constant(user_id: u64) -> u64 {
    TEMPLATES.add() + user_id
}

// P-08, A-02, A-03, A-06, A-07
#[test]
fn templates() {
    for stage in Stage::each() {
        TEMPLATES.take();
        stage.run_sync(|| {
            assert_eq!(named(42, "a"), named(42, "b"));
            assert_eq!(positional(42, "a"), positional(42, "b"));
            assert_eq!(constant(1), constant(2));
            assert_eq!(TEMPLATES.so_far(), 3, "functions with the same key text do not collide");
            assert_eq!(named::cache().get(&42).unwrap().value(), Some(1 + 42));
            assert_eq!(constant::cache().get(&()).unwrap().value(), Some(3 + 1));
            assert_eq!(named::cache().keys().unwrap(), [format!("{}:user:42", named::cache().id())]);
            assert!(named::cache().remove(&42).unwrap() && !named::cache().exists(&42).unwrap());
        });
    }
}

#[derive(Serialize, Clone)]
struct Region {
    country: String,
    #[serde(skip)]
    note: String,
}

#[retain(key = (id % 10, &region.country, region.note.len() > 3))]
fn expression(id: u64, region: &Region) -> u64 {
    EXPRESSIONS.add() + id + region.country.len() as u64
}

static EXPRESSIONS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

// P-09, T-37, A-04
#[test]
fn expressions() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    let region = |note: &str| Region { country: "de".into(), note: note.into() };
    for stage in Stage::each() {
        EXPRESSIONS.take();
        stage.run_sync(|| {
            assert_eq!(expression(1, &region("")), expression(11, &region("abc")));
            assert_eq!(EXPRESSIONS.so_far(), 1);
            expression(1, &region("abcd"));
            expression(2, &region(""));
            assert_eq!(EXPRESSIONS.so_far(), 3);
            assert_eq!(expression::cache().get(&(1, "de", false)).unwrap().value(), Some(1 + 1 + 2));
            assert!(expression::cache().get(&(1, "de", true)).unwrap().is_hit());
            assert!(expression::cache().get(&(3, "de", true)).unwrap().is_miss());
        });
    }
}

#[retain]
fn structured(region: &Region) -> u64 {
    EXPRESSIONS.add();
    region.note.len() as u64
}

// "a field with `#[serde(skip)]` is not in the key"
#[test]
fn skipped_fields_are_not_in_the_key() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    let region = |note: &str| Region { country: "de".into(), note: note.into() };
    let stage = Stage::memory();
    stage.run_sync(|| assert_eq!((structured(&region("abc")), structured(&region(""))), (3, 3)));
}

static SKIPS: Runs = Runs::new();

#[retain(skip(password, token))]
fn skipping(user: &str, password: &str, token: Option<u64>) -> usize {
    SKIPS.add();
    user.len() + password.len() + token.map_or(0, |_| 1)
}

// T-38 (without event): excluded arguments do not change the key.
#[test]
fn skip() {
    for stage in Stage::each() {
        SKIPS.take();
        stage.run_sync(|| {
            assert_eq!(skipping("ann", "secret", None), skipping("ann", "other secret", Some(1)));
            skipping("bob", "secret", None);
            assert_eq!(skipping::cache().get("ann").unwrap().value(), Some(9));
        });
        assert_eq!(SKIPS.take(), 2);
        let keys = stage.retainit.blocking().keys("").unwrap();
        assert!(keys.len() == 2 && keys.iter().all(|key| !key.contains("secret")), "{keys:?}");
    }
}

#[retain(hash_key)]
fn hashed(email: &str, n: u64) -> u64 {
    HASHES.add() + n + email.len() as u64
}

static HASHES: Runs = Runs::new();

#[retain(pii)]
fn personal(email: &str) -> usize {
    HASHES.add();
    email.len()
}

// T-102 (memory and bytes), T-120 (key part): keyed hashes, no argument in the clear.
#[test]
fn hash_key_and_pii() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    for stage in Stage::each() {
        HASHES.take();
        stage.run_sync(|| {
            assert_eq!(hashed("ann@example.org", 1), hashed("ann@example.org", 1));
            hashed("ann@example.org", 2);
            assert_eq!(HASHES.take(), 2);
            assert!(hashed::cache().exists(&("ann@example.org", 1)).unwrap());
            assert!(!hashed::cache().exists(&("ann@example.org", 3)).unwrap());
            personal("ann@example.org");
            personal("ann@example.org");
            // Personal values demand encryption wherever they leave the process.
            assert_eq!(HASHES.take(), if stage.is_memory() { 1 } else { 2 });
            let why = personal::cache().explain("ann@example.org").unwrap();
            assert_eq!((why.is_hit(), why.to_string().contains("ann@")), (stage.is_memory(), false), "{why}");
        });
        let keys = stage.retainit.blocking().keys("").unwrap();
        assert!(keys.len() >= 2 && keys.iter().all(|key| !key.contains("ann@") && key.contains(":#")), "{keys:?}");
    }
}

// "keyed with `secret`": another secret, other keys; without one a byte backend refuses.
#[test]
fn hashed_keys_depend_on_the_secret() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    let config = ByteConfig::new();
    let keys_with = |secret: Option<&str>| {
        let mut builder = Retainit::builder().register_backend("main", config.share());
        if let Some(secret) = secret {
            builder = builder.secret(secret);
        }
        let retainit = builder.build().unwrap();
        config.store().flush();
        retainit::with_instance_sync(&retainit, || hashed("a", 1));
        config.store().keys()
    };
    let (one, other) = (keys_with(Some("one")), keys_with(Some("other")));
    assert_eq!((one.len(), keys_with(Some("one"))), (1, one.clone()));
    assert_ne!(one, other);
    assert!(keys_with(None).is_empty());
}

#[retain(tags("all", "of:{a}", "{a}/{b}"))]
fn tagged(a: &str, b: u64) -> u64 {
    TAGS.add() + b + a.len() as u64
}

static TAGS: Runs = Runs::new();

// T-42, D-04: static and templated; "tags compare as plain text".
#[test]
fn tags() {
    for stage in Stage::each() {
        let blocking = stage.retainit.blocking();
        let calls = || {
            TAGS.take();
            stage.run_sync(|| [tagged("x", 1), tagged("x", 2), tagged("y z", 1)]);
            TAGS.take()
        };
        assert_eq!((calls(), calls()), (3, 0));
        blocking.invalidate_tag("x/1").unwrap();
        assert_eq!(calls(), 1);
        blocking.invalidate_tag("of:x").unwrap();
        assert_eq!(calls(), 2);
        blocking.invalidate_tag("of:y z").unwrap();
        assert_eq!(calls(), 1);
        blocking.invalidate_tag("of:y").unwrap();
        blocking.invalidate_tag("of:*").unwrap();
        assert_eq!(calls(), 0);
        blocking.invalidate_tag("all").unwrap();
        assert_eq!(calls(), 3);
    }
}

#[retain(key = "{a}/{b}", id = "keys.hostile")]
fn hostile(a: &str, b: &str) -> String {
    format!("{a}|{b}")
}

#[retain(id = "keys.hostile2")]
fn hostile_canonical(a: &str, b: Option<&str>) -> String {
    format!("{a}|{b:?}")
}

const HOSTILE: [&str; 18] =
    ["", "*", "?", "a*", "%2A", "%", ":", "/", "=", "@", "{}", "[a]", " ", "\n", "\0", "\"", "null", "é"];

// T-45: nothing in an argument escapes its field, or matches another's pattern.
#[test]
fn nothing_in_an_argument_means_anything_to_keys_and_patterns() {
    for stage in Stage::each() {
        let all = || {
            for a in HOSTILE {
                for b in HOSTILE {
                    assert_eq!(hostile(a, b), format!("{a}|{b}"));
                    assert_eq!(hostile_canonical(a, Some(b)), format!("{a}|{:?}", Some(b)));
                }
                hostile_canonical(a, None);
            }
        };
        stage.run_sync(|| (all(), all()));
        let (n, stats) = (HOSTILE.len(), stage.retainit.stats());
        assert_eq!((stats.loads, stats.hits), ((2 * n * n + n) as u64, (2 * n * n + n) as u64));
        let keys: BTreeSet<String> = stage.retainit.blocking().keys("").unwrap().into_iter().collect();
        assert_eq!(keys.len(), 2 * n * n + n);
        assert!(keys.iter().all(|key| !key.contains(['*', '?', ' ', '\n', '\0', '[', '{'])));
        // A pattern reaches below a field only by its own wildcards.
        let blocking = stage.retainit.blocking();
        assert_eq!(blocking.keys_matching("keys.hostile:a%2A/*").unwrap().len(), n);
        assert_eq!(blocking.invalidate_pattern("keys.hostile:*/%3A").unwrap().count(), Some(n as u64));
        assert_eq!(blocking.keys_matching("keys.hostile:*").unwrap().len(), n * (n - 1));
    }
}

#[retain(id = "keys.long")]
fn long(text: &str) -> usize {
    text.len()
}

// Arguments longer than 64 bytes are shown by their digest, and distinguished all the same.
#[test]
fn long_arguments() {
    for stage in Stage::each() {
        let texts: Vec<String> = (0..50).map(|n| format!("{}{n}", "x".repeat(5_000))).collect();
        stage.run_sync(|| {
            for _ in 0..2 {
                texts.iter().for_each(|text| assert_eq!(long(text), text.len()));
            }
        });
        assert_eq!(stage.retainit.stats().hits, 50);
        let keys = stage.retainit.blocking().keys("keys.long:#").unwrap();
        assert!(keys.len() == 50 && keys.iter().all(|key| key.len() < 50), "{keys:?}");
    }
}

// Keys are equal in every process: these are the keys of this version for good.
#[test]
fn the_text_of_keys() {
    let config = ByteConfig::new();
    let retainit = Retainit::builder()
        .namespace("my app")
        .clock(ManualClock::new())
        .register_backend("main", config.clone())
        .build()
        .unwrap();
    let cache = retainit.cache::<u8>("shop::user").version(3).build().unwrap();
    let cache = cache.blocking();
    cache.set(&42, 1).unwrap();
    cache.set(&("a b", None::<u8>, Some(-1), 1.5, true), 1).unwrap();
    cache.set(&vec!["x", "y"], 1).unwrap();
    let mut expected = vec![
        r#"r1:d:my%20app:-:shop%3A%3Auser@3:("a%20b",~,+-1,1.5,true)"#,
        r#"r1:d:my%20app:-:shop%3A%3Auser@3:("x","y")"#,
        "r1:d:my%20app:-:shop%3A%3Auser@3:42",
    ];
    expected.sort_unstable();
    assert_eq!(config.store().keys(), expected);
    assert_eq!(cache.keys().unwrap()[2], "shop::user:42");
}
