//! Tests which serializer writes and reads an entry, and the handling of entries that cannot be used.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use retainit::{Builder, Cache, ErrorKind, Event, EventKind, Lookup, Retainit, retain};
use retainit_plugin::{Error, ReadValue, Result, Serializer, ValueType, erased_serde};
use retainit_testkit::{ByteConfig, ByteStore, ManualClock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::common::Runs;

/// Builds an instance on a store, as another process would have it.
fn on(store: &ByteStore, set: impl FnOnce(Builder) -> Builder) -> Retainit {
    set(Retainit::builder().register_backend("default", ByteConfig::on(store).jitter(0.0))).build().unwrap()
}

fn same(builder: Builder) -> Builder {
    builder
}

/// Returns the entry of the only key.
fn entry(store: &ByteStore) -> (String, Vec<u8>) {
    let keys = store.keys();
    let [key] = keys.as_slice() else { panic!("one key, not {keys:?}") };
    (key.clone(), store.entry(key).unwrap().to_vec())
}

fn holds(entry: &[u8], part: &[u8]) -> bool {
    entry.windows(part.len()).any(|window| window == part)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

fn user() -> User {
    User { id: 42, name: "Ada".into() }
}

/// JSON with its letters turned, so that nobody else can read it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turned;

impl Serializer for Turned {
    fn name(&self) -> &'static str {
        "turned"
    }

    fn can_serialize(&self, of: ValueType) -> bool {
        !of.is_bytes()
    }

    fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
        let bytes =
            serde_json::to_vec(value).map_err(|e| Error::new(ErrorKind::Codec, "not written").with_source(e))?;
        out.extend(bytes.iter().map(|byte| !byte));
        Ok(())
    }

    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
        let bytes: Vec<u8> = input.iter().map(|byte| !byte).collect();
        let mut input = serde_json::Deserializer::from_slice(&bytes);
        read(&mut <dyn erased_serde::Deserializer>::erase(&mut input))
            .map_err(|e| Error::new(ErrorKind::Codec, "not read").with_source(e))
    }
}

static FETCHED: Runs = Runs::new();

#[retain(id = "serializers.json_user", serializer = "json")]
async fn json_user(id: u64) -> User {
    FETCHED.add();
    User { id, name: "Ada".into() }
}

// T-31, T-71, T-73
#[tokio::test]
async fn a_function_names_its_serializer() {
    let store = ByteStore::new();
    let instance = on(&store, same);
    for _ in 0..2 {
        assert_eq!(retainit::with_instance(&instance, json_user(42)).await, user());
    }
    assert_eq!(FETCHED.take(), 1, "the second call reads what the first stored");
    assert!(holds(&entry(&store).1, br#"{"id":42,"name":"Ada"}"#));
}

// T-74: the name is that of the registration; a cache, a backend and `codec` may give it.
#[tokio::test]
async fn a_program_brings_its_own() {
    let store = ByteStore::new();
    let instance = on(&store, |builder| builder.register_serializer("mine", Turned));
    let cache = instance.cache::<User>("users").serializer("mine").build().unwrap();
    cache.set(&1, user()).await.unwrap();
    assert!(matches!(cache.get(&1).await.unwrap(), Lookup::Hit { value, .. } if value == user()));
    let (_, bytes) = entry(&store);
    assert!(holds(&bytes, b"mine") && !holds(&bytes, b"Ada"));
    let refused = instance.cache::<Vec<u8>>("blobs").codec("mine").build().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
    assert!(refused.to_string().contains("`mine`") && refused.to_string().contains("blobs"), "{refused}");
}

// T-72
// T-70, T-71, T-72
#[tokio::test]
async fn text_and_bytes_are_kept_as_they_are_and_found_as_they_were() {
    let store = ByteStore::new();
    let instance = on(&store, same);
    let named = instance.cache::<String>("pages").serializer("msgpack").build().unwrap();
    let plain = instance.cache::<String>("pages").build().unwrap();
    named.set(&1, "grüße".to_owned()).await.unwrap();
    assert!(holds(&entry(&store).1, b"msgpack"));
    assert!(matches!(plain.get(&1).await.unwrap(), Lookup::Hit { value, .. } if value == "grüße"));
    plain.set(&1, "grüße".to_owned()).await.unwrap();
    let (_, bytes) = entry(&store);
    assert!(bytes.ends_with("grüße".as_bytes()) && !holds(&bytes, b"msgpack"));
    assert!(matches!(named.get(&1).await.unwrap(), Lookup::Hit { value, .. } if value == "grüße"));
}

#[test]
fn a_name_that_stands_for_nothing_is_an_error_that_says_what_there_is() {
    let instance = on(&ByteStore::new(), same);
    let error = |codec: &str| instance.cache::<User>("users").codec(codec).build().unwrap_err().to_string();
    let unknown = error("jsn");
    for name in ["`jsn`", "bytes", "json", "msgpack", "postcard", "string", "users"] {
        assert!(unknown.contains(name), "{name}: {unknown}");
    }
    assert!(error("json+zstd").contains("zstd"));
    assert!(error("string").contains("cannot hold values of type"));
    assert!(instance.cache::<User>("users").codec("pickle").build().is_ok(), "as MessagePack");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[test]
fn what_asks_the_format_cannot_go_by_place() {
    let instance = on(&ByteStore::new(), same);
    let error = instance.cache::<Vec<Untagged>>("any").serializer("postcard").build().unwrap_err();
    assert!(error.to_string().contains("describes itself"), "{error}");
    assert!(instance.cache::<Vec<Untagged>>("any").serializer("json").build().is_ok());
}

/// Collects the events until the instance is closed.
struct Told(Arc<Mutex<Vec<(EventKind, String)>>>);

impl Told {
    fn by(instance: &Retainit) -> Told {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&told);
        instance.events().subscribe([EventKind::CacheError, EventKind::Security], move |event: &Event| {
            ear.lock().unwrap().push((event.kind(), event.error().unwrap_or_default().to_owned()));
        });
        Told(told)
    }

    async fn when_closed(self, instance: &Retainit) -> Vec<(EventKind, String)> {
        instance.close().await.unwrap();
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

async fn is_miss<V: Clone + Send + Sync + 'static>(cache: &Cache<V>) -> bool {
    matches!(cache.get(&1).await.unwrap(), Lookup::Miss)
}

async fn stored<V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static>(
    store: &ByteStore,
    set: impl FnOnce(Builder) -> Builder,
    serializer: &str,
    value: V,
) -> Vec<u8> {
    let cache = on(store, set).cache::<V>("c").serializer(serializer).build().unwrap();
    cache.set(&1, value).await.unwrap();
    entry(store).1
}

// Another program's serializer is a miss, is not deleted, and is reported once a minute.
#[tokio::test]
async fn an_unknown_serializer_is_left_alone() {
    let (store, clock) = (ByteStore::new(), ManualClock::new());
    let mine = |builder: Builder| builder.clock(clock.clone()).register_serializer("mine", Turned);
    let before = stored(&store, mine, "mine", user()).await;
    let instance = on(&store, |builder| builder.clock(clock.clone()));
    let told = Told::by(&instance);
    let cache = instance.cache::<User>("c").build().unwrap();
    for _ in 0..3 {
        assert!(is_miss(&cache).await);
    }
    let why = cache.explain(&1).await.unwrap().to_string();
    assert!(why.starts_with("miss: an entry is there") && why.contains("serializer `mine`"), "{why}");
    assert_eq!(entry(&store).1, before);
    clock.advance(Duration::from_secs(61));
    assert!(is_miss(&cache).await);
    let told = told.when_closed(&instance).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|(kind, text)| *kind == EventKind::CacheError && text.contains("`mine`")), "{told:?}");
}

// T-98: a payload without names goes only to the type it was written from.
#[tokio::test]
async fn a_changed_type_is_a_miss_where_fields_go_by_place() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Turned {
        name: String,
        id: u64,
    }
    let store = ByteStore::new();
    let before = stored(&store, same, "postcard", (7u64, 8u64)).await;
    let instance = on(&store, same);
    let same_bytes = instance.cache::<(u64, i64)>("c").build().unwrap();
    assert!(is_miss(&same_bytes).await, "the same bytes would be another value");
    let why = same_bytes.explain(&1).await.unwrap().to_string();
    assert!(why.starts_with("miss: an entry is there") && why.contains("another shape"), "{why}");
    assert_eq!(entry(&store).1, before, "and a program with the old type still has its entry");
    stored(&store, same, "postcard", user()).await;
    let instance = on(&store, same);
    assert!(is_miss(&instance.cache::<Turned>("c").build().unwrap()).await);
    let instance = on(&store, same);
    assert!(!is_miss(&instance.cache::<User>("c").build().unwrap()).await);
}

// T-118, T-83: damage is a miss that is reported once, for it is removed, unless a load puts a value in its place.
#[tokio::test]
async fn a_damaged_entry_is_removed_or_replaced() {
    let store = ByteStore::new();
    let written = stored(&store, same, "msgpack", user()).await;
    let (key, _) = entry(&store);
    let instance = on(&store, same);
    let told = Told::by(&instance);
    let cache = instance.cache::<User>("c").build().unwrap();
    let mut damaged = written.clone();
    *damaged.last_mut().unwrap() ^= 1;
    store.put(key.clone(), damaged.clone());
    let why = cache.explain(&1).await.unwrap().to_string();
    assert!(why.starts_with("miss: an entry is there") && why.contains("checksum"), "{why}");
    assert_eq!(entry(&store).1, damaged, "to explain leaves it where it is");
    assert_eq!(cache.get_or_load(&1, async || user()).await, user());
    assert!(!is_miss(&cache).await, "the load has replaced it");
    store.put(key.clone(), damaged);
    assert!(is_miss(&cache).await);
    assert!(is_miss(&cache).await);
    assert_eq!(cache.keys().collect().await.unwrap(), [""; 0]);
    store.put(key, written[..9].to_vec());
    assert!(is_miss(&cache).await);
    assert!(is_miss(&cache).await);
    let kinds: Vec<_> = told.when_closed(&instance).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [EventKind::Security, EventKind::Security, EventKind::CacheError]);
}

// T-83: what cannot be read as the requested type is removed too; what a newer program may have written stays.
#[tokio::test]
async fn an_entry_of_another_type_is_removed() {
    let store = ByteStore::new();
    stored(&store, same, "msgpack", 7u64).await;
    let instance = on(&store, same);
    let told = Told::by(&instance);
    let cache = instance.cache::<Vec<String>>("c").build().unwrap();
    assert!(is_miss(&cache).await);
    assert_eq!(cache.keys().collect().await.unwrap(), [""; 0]);
    assert!(is_miss(&cache).await);
    assert_eq!(told.when_closed(&instance).await.len(), 1);
}

// T-99, T-118
#[tokio::test]
async fn values_above_the_limit_are_neither_stored_nor_read() {
    let store = ByteStore::new();
    stored(&store, same, "string", "x".repeat(1_000)).await;
    let instance = on(&store, |builder| builder.max_value(999u64));
    let told = Told::by(&instance);
    let cache = instance.cache::<String>("c").build().unwrap();
    assert!(is_miss(&cache).await);
    assert_eq!(cache.get_or_load(&2, async || "y".repeat(1_000)).await.len(), 1_000, "the call has its value");
    assert!(cache.set(&2, "y".repeat(1_000)).await.is_err());
    assert_eq!(store.keys().len(), 1);
    cache.set(&2, "y".repeat(999)).await.unwrap();
    let told = told.when_closed(&instance).await;
    let limits = told.iter().filter(|(kind, text)| *kind == EventKind::Security && text.contains("`max_value`"));
    assert_eq!(limits.count(), 3, "{told:?}");
}

/// Takes its time to be read.
static CLOCK: Mutex<Option<ManualClock>> = Mutex::new(None);

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Slow(u8);

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Slow, D::Error> {
        if let Some(clock) = &*CLOCK.lock().unwrap() {
            clock.advance(Duration::from_millis(1));
        }
        u8::deserialize(deserializer).map(Slow)
    }
}

// T-100
#[tokio::test]
async fn reading_has_a_deadline() {
    let (store, clock) = (ByteStore::new(), ManualClock::new());
    stored(&store, |builder| builder.clock(clock.clone()), "json", vec![Slow(7); 2_000]).await;
    *CLOCK.lock().unwrap() = Some(clock.clone());
    let read = async |timeout| {
        let instance = on(&store, |builder| builder.clock(clock.clone()).decode_timeout(Duration::from_secs(timeout)));
        let cache = instance.cache::<Vec<Slow>>("c").build().unwrap();
        (is_miss(&cache).await, cache.stats().errors_by_operation.get("read").copied())
    };
    assert_eq!(read(1).await, (true, Some(1)), "2000 values of one millisecond each do not fit");
    assert_eq!(read(3).await, (false, None));
    stored(&store, |builder| builder.clock(clock.clone()), "json", vec![Slow(7); 3]).await;
    let instance = on(&store, |builder| builder.clock(clock.clone()).decode_timeout(Duration::from_millis(2)));
    assert!(is_miss(&instance.cache::<Vec<Slow>>("c").build().unwrap()).await, "the last part is late too");
    *CLOCK.lock().unwrap() = None;
}

/// Fails in every way a serializer can.
#[derive(Clone, Copy, Debug)]
struct Broken(&'static str);

impl Serializer for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn serialize(&self, _: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
        match self.0 {
            "fails" => Err(Error::new(ErrorKind::Codec, "no paper")),
            "panics" => panic!("no pen"),
            _ => {
                out.push(0);
                Ok(())
            }
        }
    }

    fn deserialize(&self, _: &[u8], _: &mut ReadValue<'_>) -> Result<()> {
        match self.0 {
            "reads nothing" => Ok(()),
            "panics at reading" => panic!("no eyes"),
            _ => Err(Error::new(ErrorKind::Codec, "no glasses")),
        }
    }
}

/// Stores bytes that were made by hand, and has them read by another serializer. When a value is read back before it
/// is stored, the bytes are still what they should be.
#[derive(Clone, Debug)]
struct Forged<S> {
    payload: Vec<u8>,
    honest: Arc<Mutex<Option<Vec<u8>>>>,
    reader: S,
}

impl<S: Serializer> Serializer for Forged<S> {
    fn name(&self) -> &'static str {
        "forged"
    }

    fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
        let mut honest = Vec::new();
        self.reader.serialize(value, &mut honest)?;
        *self.honest.lock().unwrap() = Some(honest);
        out.extend_from_slice(&self.payload);
        Ok(())
    }

    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
        let honest = self.honest.lock().unwrap().take();
        self.reader.deserialize(honest.as_deref().unwrap_or(input), read)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node(Vec<Node>);

/// Reads a forged payload, which is a miss that is reported.
async fn forged<V>(payload: impl Into<Vec<u8>>, reader: impl Serializer + Clone)
where
    V: Clone + Default + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    let forged = Forged { payload: payload.into(), honest: Arc::default(), reader };
    let instance = on(&ByteStore::new(), |builder| {
        builder.register_serializer("forged", forged).decode_timeout(Duration::from_millis(50))
    });
    let cache = instance.cache::<V>("c").serializer("forged").build().unwrap();
    cache.set(&1, V::default()).await.unwrap();
    assert!(is_miss(&cache).await);
    assert_eq!(cache.stats().errors_by_operation.get("read"), Some(&1));
}

// T-98, T-100: depth and lengths that payloads claim cost neither the stack nor memory nor much time.
#[tokio::test]
async fn forged_payloads_are_misses() {
    let deep = |unit: &[u8]| unit.repeat(5_000_000);
    forged::<Node>(deep(b"["), retainit_codecs::Json).await;
    forged::<Node>(deep(b"\x01"), retainit_codecs::Postcard).await;
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec();
    forged::<Vec<u64>>(huge.clone(), retainit_codecs::Postcard).await;
    forged::<Vec<u8>>(huge.clone(), retainit_codecs::Postcard).await;
    forged::<String>(huge.clone(), retainit_codecs::Postcard).await;
    // Elements of no size need no bytes: only the deadline ends this.
    forged::<Vec<()>>(huge, retainit_codecs::Postcard).await;
    forged::<u8>(b"1 2".to_vec(), retainit_codecs::Json).await;
    forged::<u8>(b"\x01\x02".to_vec(), retainit_codecs::Postcard).await;
}

// T-83: whatever a serializer does, the caller has the function's result.
#[tokio::test]
async fn calls_answer_whatever_a_serializer_does() {
    for how in ["fails", "panics", "reads nothing", "panics at reading", "cannot read"] {
        let instance = on(&ByteStore::new(), |builder| builder.register_serializer("broken", Broken(how)));
        let cache = instance.cache::<u64>("c").serializer("broken").build().unwrap();
        for _ in 0..2 {
            assert_eq!(cache.get_or_load(&1, async || 5).await, 5, "{how}");
        }
        assert!(cache.stats().errors > 0, "{how}");
    }
}

static TRIES: Runs = Runs::new();

#[retain(id = "serializers.fallible", err_ttl = "1m")]
async fn fallible(id: u64) -> std::result::Result<String, String> {
    TRIES.add();
    Err(format!("no {id}"))
}

/// A stored error is no text, though the value is.
#[tokio::test]
async fn errors_are_kept_beside_text() {
    let instance = on(&ByteStore::new(), same);
    for _ in 0..2 {
        assert_eq!(retainit::with_instance(&instance, fallible(1)).await, Err("no 1".to_owned()));
    }
    assert_eq!(TRIES.take(), 1);
}

// T-113: an entry under another key is distinguished from that key's own where the key does not show its arguments.
#[tokio::test]
async fn an_entry_moved_to_another_key_is_refused() {
    let store = ByteStore::new();
    let instance = on(&store, same);
    let cache = instance.cache::<u64>("c").build().unwrap();
    let (mine, yours) = ("x".repeat(100), "y".repeat(100));
    cache.set(&mine, 1).await.unwrap();
    let (my_key, my_entry) = entry(&store);
    cache.set(&yours, 2).await.unwrap();
    let your_key = store.keys().into_iter().find(|key| *key != my_key).unwrap();
    store.put(your_key, my_entry);
    assert!(matches!(cache.get(&yours).await.unwrap(), Lookup::Miss));
    assert!(matches!(cache.get(&mine).await.unwrap(), Lookup::Hit { value: 1, .. }));
}

/// `Arc<T>` reaches stores of bytes like `T`.
#[tokio::test]
async fn shared_values_are_serialized() {
    let store = ByteStore::new();
    let instance = on(&store, same);
    let cache = instance.cache::<Arc<User>>("c").build().unwrap();
    cache.set(&1, Arc::new(user())).await.unwrap();
    assert!(matches!(cache.get(&1).await.unwrap(), Lookup::Hit { value, .. } if *value == user()));
    let plain = on(&store, same).cache::<User>("c").build().unwrap();
    assert!(matches!(plain.get(&1).await.unwrap(), Lookup::Hit { value, .. } if value == user()));
}
