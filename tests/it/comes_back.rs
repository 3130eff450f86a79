//! Tests that stored values come back as they were; a value that would not is refused and reported.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use retainit::{Cache, Error, ErrorKind, Event, EventKind, Retainit, retain, retain_put};
use retainit_disk::DiskConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::{Runs, Stage, patient};

/// Leaves one field out where it is `None`; fields are distinguished by their place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row(u8, #[serde(skip_serializing_if = "Option::is_none", default)] Option<u8>, #[serde(default)] u8);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Size {
    Small(i64),
    Big(u64),
}

/// Never read: its second field is not written, and asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skipped {
    id: u8,
    #[serde(skip_serializing)]
    more: u8,
}

/// Zero is left out, and comes back as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Defaulted {
    #[serde(skip_serializing_if = "is_zero", default = "one")]
    count: u8,
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

fn one() -> u8 {
    1
}

/// A part that is neither written nor read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Hidden {
    id: u8,
    #[serde(skip)]
    memo: u8,
}

/// Has no `PartialEq`, so that its serialized form has to be compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Apart<T>(T);

/// Collects the types and reasons of all events.
fn failures(instance: &Retainit) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    instance.events().subscribe(EventKind::CacheError, move |event: &Event| {
        sink.lock().unwrap().push(event.error().unwrap_or_default().to_owned());
    });
    heard
}

fn told(instance: &Retainit, heard: &Mutex<Vec<String>>) -> Vec<String> {
    instance.events().flush_blocking();
    std::mem::take(&mut *heard.lock().unwrap())
}

/// Sets a value and looks whether it is there, and the one that was set.
fn set<V>(cache: &Cache<V>, value: V) -> Result<V, Error>
where
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    cache.blocking().set(&1, value)?;
    Ok(cache.blocking().get(&1).unwrap().value().expect("what `set` was `Ok` for is there"))
}

/// Builds an instance whose values go to disk.
fn disk() -> (tempfile::TempDir, Retainit) {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = DiskConfig::new().base_path(folder.path());
    (folder, patient().register_backend("default", disk).build().unwrap())
}

fn refused<V>(name: &str, value: V, reason: &str)
where
    V: Clone + Send + Sync + Debug + Serialize + DeserializeOwned + 'static,
{
    let (_folder, on_disk) = disk();
    for instance in [Stage::bytes().retainit, Stage::local().retainit, on_disk] {
        for serializer in ["json", "msgpack"] {
            let cache = instance.cache::<V>(format!("{name} {serializer}")).serializer(serializer).build().unwrap();
            let heard = failures(&instance);
            let error = set(&cache, value.clone()).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Codec, "{error}");
            for part in [std::any::type_name::<V>(), serializer, reason] {
                assert!(error.report().contains(part), "{part}: {error:#}");
            }
            let absent = cache.blocking().set_if_absent(&1, value.clone()).unwrap_err();
            assert_eq!(absent.report(), error.report());
            assert!(!cache.blocking().exists(&1).unwrap());
            assert_eq!(told(&instance, &heard), [error.report()], "once, with type and reason");
            assert_eq!(cache.stats().errors, 2, "and counted each time");
            instance.events().unsubscribe_all(EventKind::CacheError);
        }
    }
}

const ANOTHER: &str = "come back as another";
const UNREADABLE: &str = "could not be read back";

#[test]
fn what_would_come_back_as_another_is_an_error_of_set() {
    refused("row", Row(1, None, 3), ANOTHER);
    refused("size", Size::Big(5), ANOTHER);
    refused("sizes", vec![Size::Small(-1), Size::Big(u64::MAX), Size::Big(5)], ANOTHER);
    refused("skipped", Skipped { id: 1, more: 2 }, UNREADABLE);
    refused("defaulted", Defaulted { count: 0 }, ANOTHER);
    refused("deep", Some(vec![BTreeMap::from([(1u8, Row(1, None, 3))])]), ANOTHER);
}

// The values of those types that come back are stored.
#[test]
fn what_comes_back_is_stored_whatever_its_type() {
    for stage in [Stage::bytes(), Stage::local()] {
        for serializer in ["json", "msgpack"] {
            let cache = stage.retainit.cache(serializer).serializer(serializer).build().unwrap();
            let value = (Row(1, Some(2), 3), Size::Small(5), Size::Big(u64::MAX), Defaulted { count: 2 });
            assert_eq!(set(&cache, value.clone()).unwrap(), value);
        }
    }
}

// Each value of a doubtful type is looked at, not only the first.
#[test]
fn a_doubtful_type_is_read_back_at_every_store() {
    let stage = Stage::local();
    let rows = stage.retainit.cache::<Row>("rows").serializer("json").build().unwrap();
    let sizes = stage.retainit.cache::<Size>("sizes").serializer("json").build().unwrap();
    let defaulted = stage.retainit.cache::<Defaulted>("defaulted").serializer("json").build().unwrap();
    for n in 0..100 {
        set(&rows, Row(1, Some(2), n)).unwrap();
        set(&sizes, Size::Small(n.into())).unwrap();
        set(&defaulted, Defaulted { count: 1 }).unwrap();
    }
    set(&rows, Row(1, None, 3)).unwrap_err();
    set(&sizes, Size::Big(5)).unwrap_err();
    set(&defaulted, Defaulted { count: 0 }).unwrap_err();
}

static READ: Runs = Runs::new();

/// Counts how often it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Read(u8);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        READ.add();
        u8::deserialize(deserializer).map(Read)
    }
}

#[test]
fn another_type_is_read_back_at_first_and_then_now_and_again() {
    let stage = Stage::local();
    let cache = stage.retainit.cache::<Read>("read").serializer("json").build().unwrap();
    let store = |times: u16| {
        READ.take();
        (0..times).for_each(|n| cache.blocking().set(&n, Read(7)).unwrap());
        READ.take()
    };
    store(1);
    assert_eq!(store(15), 15);
    let later = store(1_600);
    assert!((5..80).contains(&later), "{later}");
}

// ------------------------------------------------------------------------------------------------ retained functions

static RUNS: Runs = Runs::new();

#[retain(id = "comes_back.row")]
fn row(n: u8) -> Row {
    RUNS.add();
    Row(n, None, 3)
}

#[retain(id = "comes_back.size", serializer = "json")]
async fn size(n: u8) -> Result<Size, String> {
    RUNS.add();
    Ok(Size::Big(n.into()))
}

/// Loses a part that only `PartialEq` compares.
#[retain(id = "comes_back.hidden")]
fn hidden(id: u8) -> Hidden {
    RUNS.add();
    Hidden { id, memo: 7 }
}

#[retain(id = "comes_back.memo")]
fn memo(id: u8, memo: u8) -> Hidden {
    Hidden { id, memo }
}

// However many values had nothing in a field that is neither written nor read.
#[test]
fn what_is_skipped_is_looked_at_each_time() {
    let both = |id, said| (memo(id, said), memo(id, said)).1;
    Stage::local().run_sync(|| (0..200).for_each(|id| assert_eq!(both(id, id / 100 * 7).memo, id / 100 * 7)));
}

/// Fails with an error of one kind that comes back as one of another.
#[retain(id = "comes_back.failure", err_ttl = "1h")]
fn failure(n: u8) -> Result<u8, Size> {
    RUNS.add();
    Err(Size::Big(n.into()))
}

#[retain_put(of = row, key = (n,))]
fn save(n: u8, third: u8) -> Row {
    Row(n, Some(1).filter(|_| third == 0), third)
}

#[tokio::test]
async fn a_call_whose_value_does_not_come_back_runs_uncached() {
    for stage in [Stage::bytes(), Stage::local()] {
        let instance = &stage.retainit;
        let heard = failures(instance);
        RUNS.take();
        for _ in 0..3 {
            assert_eq!(stage.run(size(5)).await, Ok(Size::Big(5)));
            assert_eq!(stage.run_sync(|| (row(1), hidden(1))), (Row(1, None, 3), Hidden { id: 1, memo: 7 }));
            assert_eq!(stage.run_sync(|| failure(1)), Err(Size::Big(1)));
        }
        assert_eq!(RUNS.take(), 12);
        assert_eq!(stage.run_sync(|| row::cache().refresh(1)), Row(1, None, 3));
        let warmed = stage.run_sync(|| row::cache().warm([1, 2])).unwrap();
        assert_eq!((warmed.failed, RUNS.take()), (2, 3));
        let told = told(instance, &heard);
        assert_eq!(told.len(), 4, "each function once: {told:?}");
        for of in ["Row", "Size", "Hidden", "Result<u8"] {
            assert!(told.iter().any(|error| error.contains(of) && error.contains(ANOTHER)), "{of}: {told:?}");
        }
    }
}

// What was written is not there, and nothing older is.
#[test]
fn what_retain_put_cannot_store_leaves_nothing_old() {
    for stage in [Stage::bytes(), Stage::local()] {
        let heard = failures(&stage.retainit);
        stage.run_sync(|| {
            save(1, 0);
            assert!(row::cache().exists(&1).unwrap());
            save(1, 7);
            save(1, 8);
            assert!(!row::cache().exists(&1).unwrap());
        });
        assert_eq!(told(&stage.retainit, &heard).len(), 1);
    }
}

// An entry that is put back as it was goes the same way.
#[test]
fn an_entry_that_is_put_back_is_read_back_too() {
    let (memory, stage) = (Stage::memory(), Stage::local());
    let from = memory.retainit.cache::<Size>("sizes").build().unwrap();
    let to = stage.retainit.cache::<Size>("sizes").build().unwrap();
    from.blocking().set(&1, Size::Big(5)).unwrap();
    let entry = from.blocking().get_entry(&1).unwrap().unwrap();
    let error = to.blocking().set_entry(&1, entry).unwrap_err();
    assert!(error.report().contains(ANOTHER), "{error:#}");
}

// ---------------------------------------------------------------------------------------------------- no false alarm

/// Panics where it is set to, and never equals itself otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Odd {
    id: u8,
    falls: bool,
}

impl PartialEq for Odd {
    fn eq(&self, _: &Odd) -> bool {
        assert!(!self.falls, "it falls");
        false
    }
}

static NUMBER: Runs = Runs::new();

/// Serializes as another value each time.
#[derive(Clone, Debug)]
struct Restless;

impl Serialize for Restless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(NUMBER.add())
    }
}

impl<'de> Deserialize<'de> for Restless {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|_| Restless)
    }
}

#[retain(id = "comes_back.maps")]
fn maps(n: u64) -> (HashMap<u64, HashSet<String>>, HashSet<Vec<u64>>) {
    RUNS.add();
    let set: HashSet<String> = (0..n).map(|n| n.to_string()).collect();
    ((0..n).map(|n| (n, set.clone())).collect(), (0..n).map(|n| vec![n, 1]).collect())
}

#[retain(id = "comes_back.nan")]
fn nan(n: u64) -> Vec<f64> {
    RUNS.add();
    vec![f64::NAN, -0.0, n as f64, f64::INFINITY]
}

#[retain(id = "comes_back.odd")]
fn odd(id: u8, falls: bool) -> Odd {
    RUNS.add();
    Odd { id, falls }
}

#[test]
fn what_has_no_order_no_equality_or_no_constancy_is_no_false_alarm() {
    for stage in [Stage::bytes(), Stage::local()] {
        RUNS.take();
        stage.run_sync(|| {
            for _ in 0..2 {
                assert_eq!(maps(50).1.len(), 50);
                assert!(nan(1)[0].is_nan());
                assert_eq!((odd(1, false).id, odd(1, true).id), (1, 1));
            }
        });
        assert_eq!(RUNS.take(), 4);
        let sets = |n: u64| Apart((0..n).map(|n| (n, HashSet::from([n, 2, 3]))).collect::<HashMap<_, _>>());
        for serializer in ["json", "msgpack"] {
            let cache = stage.retainit.cache(format!("sets {serializer}")).serializer(serializer).build().unwrap();
            (0..30).for_each(|n| assert_eq!(set(&cache, sets(n)).unwrap().0, sets(n).0));
            let cache = stage.retainit.cache(format!("restless {serializer}")).serializer(serializer).build().unwrap();
            set(&cache, Restless).unwrap();
        }
        assert_eq!(stage.retainit.stats().errors, 0);
    }
}

// ------------------------------------------------------------------------------------- each kind of value, each format

#[derive(Debug, PartialEq)]
enum Outcome {
    /// It comes back.
    Back,
    /// The value is refused when it is stored.
    Refused,
    /// The type is refused when the cache is built.
    Unfit,
}
use Outcome::{Back, Refused, Unfit};

fn outcome<V>(stage: &Stage, serializer: Option<&str>, value: &V) -> Outcome
where
    V: Clone + Send + Sync + Debug + Serialize + DeserializeOwned + 'static,
{
    let name = format!("{} {serializer:?}", std::any::type_name::<V>());
    let builder = stage.retainit.cache::<V>(&name);
    let builder = match serializer {
        Some(serializer) => builder.serializer(serializer),
        None => builder,
    };
    let Ok(cache) = builder.build() else { return Unfit };
    match set(&cache, value.clone()) {
        Ok(back) => {
            // Shown, since NaN does not equal itself.
            assert_eq!(format!("{back:?}"), format!("{value:?}"), "{name}");
            Back
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Codec, "{name}: {error}");
            Refused
        }
    }
}

macro_rules! table {
    ($($value:expr => $json:ident $default:ident $postcard:ident;)*) => {
        let stage = Stage::local();
        $(
            let value = $value;
            let outcomes = [Some("json"), None, Some("postcard")].map(|name| outcome(&stage, name, &value));
            assert_eq!(outcomes, [$json, $default, $postcard], "{} {value:?}", stringify!($value));
        )*
    };
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(u8),
    Tuple(u8, String),
    Struct { a: Option<u8> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t")]
enum Tagged {
    A { n: u64 },
    B { f: f32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Left {
    id: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[test]
fn each_kind_of_value_comes_back_or_is_refused() {
    table! {
        // value                                            json    default postcard
        true                                             => Back    Back    Back;
        u64::MAX                                         => Back    Back    Back;
        i64::MIN                                         => Back    Back    Back;
        u128::MAX                                        => Back    Back    Back;
        i128::MIN                                        => Back    Back    Back;
        'ß'                                              => Back    Back    Back;
        0.1f32 + 0.2                                     => Back    Back    Back;
        [f32::MIN_POSITIVE, f32::MAX, 1e-45, -0.0]       => Back    Back    Back;
        [0.1f64 + 0.2, 5e-324, f64::MAX, -0.0, 1.0]      => Back    Back    Back;
        2.225_073_858_507_201e-308f64                    => Back    Back    Back;
        f64::NAN                                         => Refused Back    Back;
        [f32::INFINITY, f32::NEG_INFINITY]               => Refused Back    Back;
        ()                                               => Back    Back    Back;
        Nothing                                          => Back    Back    Back;
        String::from("a\u{0}\u{1f980}")                  => Back    Back    Back;
        vec![0u8, 255]                                   => Back    Back    Back;
        retainit_plugin::Bytes::from_static(b"\xff\x00")           => Back    Back    Back;
        Some(())                                         => Back    Back    Back;
        None::<()>                                       => Back    Back    Back;
        Some(None::<u8>)                                 => Back    Back    Back;
        Some(Some(1u8))                                  => Back    Back    Back;
        vec![Some(None::<u8>)]                           => Refused Refused Back;
        vec![Some(())]                                   => Refused Refused Back;
        vec![Some(Nothing)]                              => Refused Back    Back;
        vec![Some(Some(1u8)), None]                      => Back    Back    Back;
        (1u8, "x".to_owned(), [1u16, 2])                 => Back    Back    Back;
        BTreeMap::from([(1u64, 'a'), (u64::MAX, 'b')])   => Back    Back    Back;
        BTreeMap::from([('a', true)])                    => Back    Back    Back;
        BTreeMap::from([(true, 1u8)])                    => Back    Back    Back;
        BTreeMap::from([(Kind::Unit, 1u8)])              => Back    Back    Back;
        BTreeMap::from([(Kind::Newtype(1), 1u8)])        => Refused Back    Back;
        BTreeMap::from([((1u8, 2u8), 3u8)])              => Refused Back    Back;
        BTreeMap::from([(vec![1u8], 3u8)])               => Refused Back    Back;
        BTreeMap::from([(Some(1u8), 3u8)])               => Back    Back    Back;
        BTreeMap::from([(None::<u8>, 3u8)])              => Refused Back    Back;
        BTreeMap::from([(i128::MAX, 3u8)])               => Back    Back    Back;
        [Kind::Unit, Kind::Newtype(1), Kind::Tuple(1, "x".into()), Kind::Struct { a: None }] => Back Back Back;
        Ok::<u8, String>(1)                              => Back    Back    Back;
        Err::<u8, String>("no".into())                   => Back    Back    Back;
        std::time::Duration::new(3, 999_999_999)         => Back    Back    Back;
        std::time::SystemTime::UNIX_EPOCH                => Back    Back    Back;
        "::1".parse::<std::net::IpAddr>().unwrap()       => Back    Back    Back;
        std::path::PathBuf::from("/a/b")                 => Back    Back    Back;
        Tagged::A { n: u64::MAX }                        => Back    Back    Unfit;
        Tagged::B { f: 0.1 }                             => Back    Back    Unfit;
        Flat { id: 1, rest: BTreeMap::from([("a".to_owned(), i64::MIN)]) } => Back Back Unfit;
        serde_json::json!({"a": [1, -1, 0.5, null, "x"]}) => Back   Back    Unfit;
        Size::Small(5)                                   => Back    Back    Unfit;
        Size::Big(u64::MAX)                              => Back    Back    Unfit;
        Size::Big(5)                                     => Refused Refused Unfit;
        Row(1, Some(2), 3)                               => Back    Back    Back;
        Row(1, None, 3)                                  => Refused Refused Refused;
        Left { id: 1, more: Some(1) }                    => Back    Back    Back;
        Left { id: 1, more: None }                       => Back    Back    Refused;
        Defaulted { count: 0 }                           => Refused Refused Refused;
        Skipped { id: 1, more: 2 }                       => Refused Refused Refused;
    }
}
