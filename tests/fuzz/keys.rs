//! Keys of any text, and patterns over them.

use retainit::{Cache, Lookup, Retainit};
use retainit_testkit::{ByteConfig, ByteStore};

use crate::mutate::mutate;
use crate::runner::{Random, run};

/// Pieces of keys and patterns: all characters with a meaning somewhere, and ordinary text.
const PIECES: [&str; 26] = [
    "", "a", "user", ":", "/", "%", "%25", "=", "@", "*", "?", "[", "]", "[!a]", "{", "}", "\\", " ", "\n", "\0", "ü",
    "🦀", "#", "\"", "(", ",",
];

type Key = (String, Option<i64>, Vec<String>);

fn text(random: &mut Random) -> String {
    (0..random.below(6)).map(|_| random.of(&PIECES)).collect()
}

fn key(random: &mut Random) -> Key {
    let number = (!random.one_in(3)).then(|| random.number() as i64 >> random.below(64));
    (text(random), number, (0..random.below(3)).map(|_| text(random)).collect())
}

struct Keys {
    instance: Retainit,
    store: ByteStore,
    cache: Cache<u64>,
}

impl Keys {
    fn new() -> Keys {
        let store = ByteStore::new();
        let config = ByteConfig::on(&store).blocking();
        let instance = Retainit::builder().register_backend("bytes", config).build().unwrap();
        let cache = instance.cache("keys").build().unwrap();
        Keys { instance, store, cache }
    }

    fn stored(&self, key: &Key, value: u64) -> String {
        self.cache.blocking().set(key, value).unwrap();
        self.store.keys().pop().expect("it was just stored")
    }

    fn iteration(&self, random: &mut Random) {
        let (one, other) = (key(random), if random.one_in(4) { key(random) } else { near(random) });
        let own = self.stored(&one, 1);
        assert_eq!(self.store.keys().len(), 1);
        assert!(own.starts_with("r1:d:default:-:keys@0:"), "{own:?}");
        assert!(!own.contains(|c: char| c.is_control() || c.is_whitespace() || "*?[]{}".contains(c)), "{own:?}");
        let found = |key: &Key| match self.cache.blocking().get(key).unwrap() {
            Lookup::Hit { value, .. } => Some(value),
            Lookup::Miss => None,
        };
        assert_eq!(found(&one), Some(1));
        assert_eq!(found(&other).is_some(), one == other, "{one:?} and {other:?}");
        // Somebody else's keys, and keys that were cut.
        let mut strange = own.clone().into_bytes();
        mutate(&mut strange, random, &[own.as_bytes(), b"r1:d:default:-:keys@0:(1,2)"]);
        let strange = String::from_utf8_lossy(&strange).into_owned();
        self.store.put(strange, self.store.entry(&own).unwrap());
        let pattern = text(random);
        let all = self.instance.blocking().keys("").unwrap();
        let matching = self.instance.blocking().keys_matching(pattern.as_str()).unwrap();
        assert!(matching.iter().all(|key| all.contains(key)), "{pattern:?}");
        assert!(self.instance.blocking().keys_matching("*").unwrap().len() == all.len());
        self.instance.blocking().invalidate_pattern(pattern.as_str()).unwrap();
        assert!(self.instance.blocking().keys_matching(pattern.as_str()).unwrap().is_empty(), "{pattern:?}");
        self.store.flush();
    }
}

/// Returns a key like many others, so that some are equal.
fn near(random: &mut Random) -> Key {
    (random.of(&PIECES).to_owned(), None, Vec::new())
}

// T-131
#[test]
fn keys_of_any_text_are_distinct() {
    let keys = Keys::new();
    run(10_000, |random| keys.iteration(random));
}
