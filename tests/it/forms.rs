//! The kinds of functions `#[retain]` works on, and the types they return.

use std::fmt::Display;
use std::sync::Arc;

use retainit::{Retainit, TypeTag, retain};
use retainit_testkit::{ByteConfig, ManualClock};
use serde::Serialize;

use crate::common::{Runs, Stage};

struct Service {
    tenant: String,
    secret: u64,
}

static METHODS: Runs = Runs::new();

impl Service {
    fn new(tenant: &str, secret: u64) -> Service {
        Service { tenant: tenant.to_owned(), secret }
    }

    #[retain(key = (self.tenant, id), id = "forms.price")]
    async fn price(&self, id: u64) -> Result<u64, String> {
        METHODS.add();
        Ok(id + self.secret)
    }

    #[retain(skip(self), id = "forms.tax")]
    fn tax(&self, country: &str) -> u64 {
        METHODS.add() + country.len() as u64
    }

    #[retain(assoc, id = "forms.make")]
    fn make(id: u64) -> u64 {
        METHODS.add();
        id
    }

    #[retain(assoc, handle = numbers, id = "forms.numbered")]
    fn numbered(id: u64) -> u64 {
        METHODS.add();
        id
    }
}

// Methods choose the parts of `self` that belong to the key.
#[tokio::test]
async fn methods() {
    for stage in Stage::each() {
        METHODS.take();
        let (a, a2, b) = (Service::new("a", 1), Service::new("a", 2), Service::new("b", 3));
        assert_eq!(stage.run(a.price(10)).await, Ok(11));
        assert_eq!(stage.run(a2.price(10)).await, Ok(11), "the key is the tenant and the id");
        assert_eq!(stage.run(b.price(10)).await, Ok(13));
        assert_eq!(METHODS.take(), 2);
        stage.run_sync(|| {
            assert_eq!(a.tax("de"), b.tax("de"));
            assert_eq!((Service::make(1), Service::make(1), Service::numbered(1)), (1, 1, 1));
            assert!(Service::make_cache().exists(&1).unwrap() && Service::numbers_cache().exists(&1).unwrap());
            assert!(Service::tax_cache().remove("de").unwrap());
        });
        assert_eq!(METHODS.take(), 3);
        let found = stage.run(Service::price_cache().get(&("b", 10))).await.unwrap();
        assert_eq!(found.value(), Some(13));
    }
}

trait Repo {
    fn load(&self, id: u64) -> u64;
    async fn load_later(&self, id: u64) -> u64;

    #[retain(skip(self), handle = off)]
    fn provided(&self, id: u64) -> u64 {
        METHODS_OF_TRAIT.add();
        id + 10
    }
}

static METHODS_OF_TRAIT: Runs = Runs::new();

struct First;
struct Second;

impl Repo for First {
    #[retain(skip(self), handle = off)]
    fn load(&self, id: u64) -> u64 {
        METHODS_OF_TRAIT.add();
        id + 1
    }

    #[retain(skip(self), handle = off)]
    async fn load_later(&self, id: u64) -> u64 {
        METHODS_OF_TRAIT.add();
        id + 1
    }
}

impl Repo for Second {
    #[retain(skip(self), handle = off)]
    fn load(&self, id: u64) -> u64 {
        METHODS_OF_TRAIT.add();
        id + 2
    }

    #[retain(skip(self), handle = off)]
    async fn load_later(&self, id: u64) -> u64 {
        METHODS_OF_TRAIT.add();
        id + 2
    }
}

#[tokio::test]
async fn methods_of_traits() {
    let stage = Stage::memory();
    for _ in 0..2 {
        assert_eq!(stage.run_sync(|| (First.load(1), Second.load(1))), (2, 3));
        assert_eq!(stage.run_sync(|| (First.provided(1), Second.provided(1))), (11, 11));
        assert_eq!((stage.run(First.load_later(1)).await, stage.run(Second.load_later(1)).await), (2, 3));
    }
    assert_eq!(METHODS_OF_TRAIT.take(), 6);
}

static GENERIC: Runs = Runs::new();

#[retain]
fn text<T: Display + Serialize + Clone>(value: T) -> String {
    format!("{} {}", GENERIC.add(), value)
}

#[derive(TypeTag)]
#[type_tag = "forms.Euro"]
struct Euro;

#[derive(TypeTag)]
struct Dollar;

#[retain(id = "forms.rate")]
fn rate<C: TypeTag, const DIGITS: usize>(day: u64) -> String {
    format!("{} {DIGITS} {day}", C::tag())
}

// Type and const parameters belong to the identity.
#[test]
fn generic_functions() {
    for stage in Stage::each() {
        GENERIC.take();
        stage.run_sync(|| {
            assert_eq!((text(5_u8), text(5_i64), text("5")), ("1 5".into(), "2 5".into(), "3 5".into()));
            assert_eq!((text(5_u8), text(5_i64), text("5")), ("1 5".into(), "2 5".into(), "3 5".into()));
            assert_eq!(text::cache::<u8>().get(&5_u8).unwrap().value().as_deref(), Some("1 5"));
            text::cache::<u8>().clear().unwrap();
            assert!(text::cache::<i64>().exists(&5_i64).unwrap() && !text::cache::<u8>().exists(&5_u8).unwrap());
            for _ in 0..2 {
                assert_eq!(rate::<Euro, 2>(1), "forms.Euro 2 1");
                assert_eq!(rate::<Euro, 3>(1), "forms.Euro 3 1");
                assert!(rate::<Dollar, 2>(1).ends_with("Dollar 2 1"));
            }
        });
        let ids = stage.retainit.blocking().keys("forms.rate<forms.Euro,").unwrap();
        assert_eq!(ids.len(), 2, "{ids:?}");
    }
}

#[derive(Debug)]
struct NotClone(u64);

type Outcome<T> = Result<T, NotClone>;
type Found = Outcome<Option<u64>>;

static ALIASES: Runs = Runs::new();

#[retain]
fn alias(id: u64) -> Found {
    ALIASES.add();
    match id {
        0 => Err(NotClone(ALIASES.so_far())),
        1 => Ok(None),
        n => Ok(Some(n)),
    }
}

#[retain]
fn io(id: u64) -> std::io::Result<u64> {
    ALIASES.add();
    if id == 0 { Err(std::io::Error::other("zero")) } else { Ok(id) }
}

// Decided on the real type, not on the token `Result`.
#[test]
fn aliases() {
    for stage in Stage::each() {
        ALIASES.take();
        stage.run_sync(|| {
            for _ in 0..2 {
                assert!(matches!(alias(0), Err(NotClone(runs)) if runs > 0) && io(0).is_err());
                assert!(matches!((alias(1), alias(2), io(1)), (Ok(None), Ok(Some(2)), Ok(1))));
            }
        });
        assert_eq!(ALIASES.take(), 8, "only Ok(Some(2)) and Ok(1) are stored");
    }
}

static ARCS: Runs = Runs::new();

#[retain]
fn shared(n: usize) -> Arc<Vec<usize>> {
    ARCS.add();
    Arc::new(vec![n; n])
}

#[retain]
fn borrowed(n: u64) -> Option<&'static str> {
    ARCS.add();
    (n > 0).then_some("yes")
}

#[derive(Clone, Debug, PartialEq)]
struct NoSerde(u64);

#[retain]
fn no_serde(n: u64) -> NoSerde {
    ARCS.add();
    NoSerde(n)
}

// Values are kept as they are; those that cannot become bytes stay in memory only.
#[test]
fn arcs_references_and_types_without_serde() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        assert!(Arc::ptr_eq(&shared(3), &shared(3)), "one allocation for all callers");
        assert_eq!(
            (borrowed(1), borrowed(1), no_serde(1), no_serde(1)),
            (Some("yes"), Some("yes"), NoSerde(1), NoSerde(1))
        );
    });
    assert_eq!(ARCS.take(), 3);
    let stage = Stage::bytes();
    stage.run_sync(|| {
        assert_eq!(
            (borrowed(1), borrowed(1), no_serde(1), no_serde(1)),
            (Some("yes"), Some("yes"), NoSerde(1), NoSerde(1))
        );
        let why = no_serde::cache().explain(&1).unwrap().to_string();
        assert!(why.contains("Serialize") && why.contains("no_serde"), "{why}");
    });
    assert_eq!(ARCS.take(), 4, "uncached, and said so");
    assert!(stage.retainit.stats().errors > 0);
}

#[retain(handle = Users)]
fn users(id: u64) -> u64 {
    id
}

#[retain(handle = off)]
fn without(id: u64) -> u64 {
    id
}

mod framework {
    pub(crate) use ::retainit as cached;
}

#[retain(crate = crate::forms::framework::cached)]
fn renamed(id: u64) -> u64 {
    id
}

// `handle` and `crate`
#[test]
fn other_names() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        assert_eq!((users(1), without(2), without(2), renamed(3)), (1, 2, 2, 3));
        assert!(Users::cache().exists(&1).unwrap() && renamed::cache().exists(&3).unwrap());
        assert!(Users::cache().id().ends_with("::users"));
    });
}

fn in_a_body(n: u64) -> (u64, bool) {
    #[retain(id = "forms.in_a_body")]
    fn local(n: u64) -> u64 {
        n + 1
    }
    (local(n), local::cache().exists(&n).unwrap())
}

// With an `id`, what has no unique name in the source may go to a byte backend.
#[test]
fn functions_inside_bodies_with_an_id() {
    let config = ByteConfig::new();
    let retainit =
        Retainit::builder().clock(ManualClock::new()).register_backend("main", config.clone()).build().unwrap();
    assert_eq!(retainit::with_instance_sync(&retainit, || in_a_body(1)), (2, true));
    assert_eq!(config.store().keys(), ["r1:d:default:-:forms.in_a_body@0:1"]);
}
