//! Tests the problems that `install` finds in the functions of a program. A binary of its own: every linked function
//! counts.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{ErrorKind, MemoryConfig, Retainit, retain};
use retainit_testkit::{ByteConfig, ByteStore};

static RUNS: AtomicU64 = AtomicU64::new(0);

fn run(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id
}

fn runs() -> u64 {
    RUNS.swap(0, Ordering::SeqCst)
}

#[retain(backend = "missing")]
fn nowhere(id: u64) -> u64 {
    run(id)
}

mod one {
    #[retainit::retain(id = "twins")]
    pub(super) fn twin(id: u64) -> u64 {
        super::run(id) + 100
    }
}

mod other {
    #[retainit::retain(id = "twins")]
    pub(super) fn twin(id: u64) -> u64 {
        super::run(id) + 200
    }
}

#[retain(id = "init_errors::borrowed_id")]
fn borrows_an_id(id: u64) -> u64 {
    run(id) + 300
}

#[retain]
fn borrowed_id(id: u64) -> u64 {
    run(id) + 400
}

#[derive(Clone)]
struct NoSerde(u64);

#[retain(backend = "bytes")]
fn no_serde(id: u64) -> NoSerde {
    NoSerde(run(id))
}

#[retain(backend = "bytes")]
fn borrowed(id: u64) -> &'static str {
    run(id);
    "text"
}

#[retain(backend = "weighed")]
fn weightless(id: u64) -> NoSerde {
    NoSerde(run(id))
}

fn a_body() -> u64 {
    #[retain(backend = "bytes")]
    fn in_a_body(id: u64) -> u64 {
        run(id)
    }
    in_a_body(1)
}

struct Service;

impl Service {
    #[retain(backend = "bytes", skip(self))]
    fn nameless_method(&self, id: u64) -> u64 {
        run(id)
    }
}

#[retain(backend = "bytes", hash_key)]
fn hashed(id: u64) -> u64 {
    run(id)
}

#[retain(backend = "bytes", serializer = "string")]
fn not_text(id: u64) -> u64 {
    run(id)
}

#[retain(backend = "bytes", serializer = "cbor")]
fn unknown_serializer(id: u64) -> u64 {
    run(id)
}

/// A colour by its name, of which no value can be made up.
#[derive(Clone, serde::Serialize)]
struct Color(String);

impl<'de> serde::Deserialize<'de> for Color {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == "crimson" { Ok(Color(name)) } else { Err(serde::de::Error::custom("no colour")) }
    }
}

#[retain(backend = "bytes", id = "colored", serializer = "postcard")]
fn colored(id: u64) -> (Color, u64) {
    (Color("crimson".into()), run(id))
}

static TRIES: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug)]
struct Refused;

fn try_it(id: u64) -> Result<u64, Refused> {
    TRIES.fetch_add(1, Ordering::SeqCst);
    id.checked_sub(1).ok_or(Refused)
}

#[retain(backend = "bytes", id = "keeps_errors", err_ttl = "1m")]
fn keeps_errors(id: u64) -> Result<u64, Refused> {
    try_it(id)
}

struct Errors;

impl Errors {
    #[retain(backend = "bytes", id = "method_keeps_errors", err_ttl = "1m", skip(self))]
    fn keeps_errors(&self, id: u64) -> Result<u64, Refused> {
        try_it(id)
    }
}

#[retain(backend = "bytes", id = "fine")]
fn fine(id: u64) -> u64 {
    run(id)
}

fn instance(store: &ByteStore) -> Retainit {
    Retainit::builder()
        .register_backend("default", MemoryConfig::new())
        .register_backend("weighed", MemoryConfig::new().max_bytes(1_000))
        .register_backend("bytes", ByteConfig::on(store))
        .build()
        .expect("the backends are sound")
}

// T-23: two functions of one id are an error that names both places; a byte backend for a type that cannot be bytes is
// an error that names the function.
#[test]
fn install_tells_every_problem_and_installs_nothing() {
    let store = ByteStore::new();
    let instance = instance(&store);
    let error = instance.install().expect_err("there is a lot wrong");
    assert_eq!(instance.check().expect_err("as before").to_string(), error.to_string());
    assert!([ErrorKind::UnknownBackend, ErrorKind::Duplicate, ErrorKind::Config].contains(&error.kind()));
    let text = error.to_string();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    let unknown = line("`missing`");
    assert!(
        unknown.contains("bytes, default, disk, memory, weighed") && unknown.contains("init_errors::nowhere"),
        "{text}"
    );
    assert_eq!(line("`twins`").matches("init_errors.rs:").count(), 2, "{text}");
    assert_eq!(line("`init_errors::borrowed_id`").matches("init_errors.rs:").count(), 2, "{text}");
    assert!(line("init_errors::no_serde").contains("Serialize"), "{text}");
    assert!(line("init_errors::borrowed ").contains("reference"), "{text}");
    assert!(line("init_errors::not_text").contains("`string` cannot hold values of type u64"), "{text}");
    assert!(line("init_errors::unknown_serializer").contains("there are: bytes, json"), "{text}");
    let unseen = line("function: colored");
    assert!(unseen.contains("`postcard`") && unseen.contains("Color") && unseen.contains("\"msgpack\""), "{text}");
    assert!(line("init_errors::weightless").contains("max_bytes"), "{text}");
    assert!(line("in_a_body").contains("`id`"), "{text}");
    assert!(line("nameless_method").contains("`id`"), "{text}");
    assert!(line("`keeps_errors`").contains("`err_ttl`"), "{text}");
    assert!(line("init_errors::hashed").contains("secret"), "{text}");
    assert!(!text.contains("fine"), "{text}");

    // Nothing was installed: the first call makes the implicit default, which has only memory.
    assert_eq!(retainit::current().backends(), ["memory"]);
    assert!(retainit::init().is_err());
}

// If calls go on after that error, they run uncached and never share.
#[test]
fn calls_that_go_on_run_uncached_and_never_share() {
    let store = ByteStore::new();
    // On a store that both names would share.
    let bytes = Retainit::builder()
        .register_backend("default", ByteConfig::on(&store))
        .register_backend("bytes", ByteConfig::on(&store))
        .build()
        .expect("the backends are sound");
    for instance in [bytes, instance(&store)] {
        retainit::with_instance_sync(&instance, || {
            runs();
            for _ in 0..2 {
                assert_eq!((one::twin(1), other::twin(1)), (101, 201));
                assert_eq!((borrows_an_id(1), borrowed_id(1)), (301, 401));
                assert_eq!((nowhere(1), no_serde(1).0, borrowed(1), a_body()), (1, 1, "text", 1));
                assert_eq!((Service.nameless_method(1), hashed(1)), (1, 1));
                assert_eq!((not_text(1), unknown_serializer(1), colored(1).1), (1, 1, 1));
            }
            assert_eq!(runs(), 26);
            assert_eq!((weightless(1).0, fine(1), fine(1)), (1, 1, 1));
            let keys = one::twin::cache().keys().expect("there is nothing to list");
            assert!(keys.is_empty(), "{keys:?}");
            let why = other::twin::cache().explain(&1).expect("it is asked, not looked up").to_string();
            assert!(why.contains("two functions have the id `twins`"), "{why}");
        });
        assert!(instance.stats().errors >= 9);
        assert_eq!(store.keys(), ["r1:d:default:-:fine@0:1"]);
    }
}

// An error that its backend cannot hold is not stored, which is reported once; values are.
#[test]
fn errors_that_have_no_bytes_are_not_kept() {
    let store = ByteStore::new();
    let instance = instance(&store);
    retainit::with_instance_sync(&instance, || {
        for _ in 0..3 {
            assert!(keeps_errors(0).is_err() && Errors.keeps_errors(0).is_err());
            assert!(keeps_errors(1).is_ok() && Errors.keeps_errors(1).is_ok());
        }
        assert_eq!(TRIES.load(Ordering::SeqCst), 8);
        let told = [keeps_errors::cache().stats().errors, Errors::keeps_errors_cache().stats().errors];
        assert_eq!(told, [1, 1], "once for each function");
    });
}
