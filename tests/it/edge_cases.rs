//! Values at the edge, through every serializer, in memory and on disk: each comes back as it was, or is refused where
//! it is stored. T-134.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retainit::{Lookup, MemoryConfig, Retainit};
use retainit_disk::DiskConfig;
use retainit_testkit::ByteConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::common::patient;

const SERIALIZERS: [&str; 4] = ["auto", "msgpack", "json", "postcard"];

/// Stores of both kinds, and the folder of one.
struct Table {
    instance: Retainit,
    _folder: tempfile::TempDir,
}

impl Table {
    fn new() -> Table {
        let folder = tempfile::tempdir().unwrap();
        let instance = patient()
            .register_backend("memory", MemoryConfig::new())
            .register_backend("disk", DiskConfig::new().base_path(folder.path()))
            .default_backend("memory")
            .decode_timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        Table { instance, _folder: folder }
    }

    /// Checks a value that every serializer holds.
    async fn same<V: Edge>(&self, value: V) {
        self.refused_by(&[], value).await;
    }

    /// Checks a value that these serializers cannot hold, and the others can. Memory holds everything.
    async fn refused_by<V: Edge>(&self, refused: &[&str], value: V) {
        for backend in ["memory", "disk"] {
            for serializer in SERIALIZERS {
                let may_refuse = backend == "disk" && refused.contains(&serializer);
                let what = format!("{value:.200?} by {serializer} in {backend}");
                let stored = self.round(backend, serializer, value.clone(), &what).await;
                assert_eq!(stored, !may_refuse, "{what}");
            }
        }
    }

    /// Returns whether a value was stored, after checking that a stored one comes back as it was.
    async fn round<V: Edge>(&self, backend: &str, serializer: &str, value: V, what: &str) -> bool {
        let name = format!("{serializer} {}", std::any::type_name::<V>());
        let Ok(cache) = self.instance.cache::<V>(name).backend(backend).serializer(serializer).build() else {
            return false;
        };
        let (text, before) = (format!("{value:?}"), cache.stats().errors);
        let stored = cache.set(&1, value.clone()).await.is_ok();
        match cache.get(&1).await.unwrap() {
            Lookup::Hit { value, .. } => assert!(stored && format!("{value:?}") == text, "{what}"),
            Lookup::Miss => assert!(!stored, "{what}"),
        }
        cache.remove(&1).await.unwrap();
        for _ in 0..2 {
            let loaded = cache.get_or_load(&1, async || value.clone()).await;
            assert_eq!(format!("{loaded:?}"), text, "{what}");
        }
        assert_eq!(cache.stats().errors > before, !stored, "a refusal is told, and nothing else is: {what}");
        cache.remove(&1).await.unwrap();
        stored
    }
}

trait Edge: Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static {}
impl<V: Debug + Clone + Send + Sync + Serialize + DeserializeOwned + 'static> Edge for V {}

/// A float that shows its bits.
#[derive(Clone, Serialize, Deserialize)]
struct Bits(f64);

impl Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0.to_bits())
    }
}

/// Formats that write `Some` as what is in it.
const PLAIN: [&str; 3] = ["auto", "msgpack", "json"];

#[tokio::test]
async fn numbers() {
    let table = Table::new();
    for value in [0.0, -0.0, 0.1 + 0.2, f64::MIN_POSITIVE, 5e-324, f64::MAX, 1e21, -1.5e-7, 123_456_789_012_345_680.0] {
        table.same(Bits(value)).await;
    }
    for value in [0.1, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, 16_777_217.0, 0.3 + 0.6] {
        table.same(value).await;
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(0x7ff8_0000_0000_0001)] {
        table.refused_by(&["json"], Bits(value)).await;
        table.refused_by(&["json"], value as f32).await;
        table.refused_by(&["json"], Some(value)).await;
        table.refused_by(&["json"], vec![Some(value), None]).await;
        table.refused_by(&["json"], BTreeMap::from([("x", value)]).into_iter().map(owned).collect::<Map>()).await;
    }
    for value in [i128::MIN, -1, 0, i128::MAX] {
        table.same(value).await;
        table.same((value, Some(value as u128))).await;
    }
    table.same((u8::MAX, u16::MAX, u32::MAX, u64::MAX, i64::MIN, i8::MIN, true)).await;
    table.same(NonZeroU8::new(7)).await;
}

type Map = BTreeMap<String, f64>;

fn owned((key, value): (&str, f64)) -> (String, f64) {
    (key.to_owned(), value)
}

#[tokio::test]
async fn text_and_bytes() {
    let table = Table::new();
    for text in ["", "\0", " ", "\"\\/\u{7f}\u{202e}\u{feff}", "grüße 漢字 🦀 e\u{301}", "null", "NaN"] {
        table.same(text.to_owned()).await;
        table.same(Some(Arc::<str>::from(text))).await;
        table.same(Cow::<'static, str>::Owned(text.to_owned())).await;
        table.same(BTreeMap::from([(text.to_owned(), text.to_owned())])).await;
    }
    table.same(('\0', '\u{10ffff}', '🦀')).await;
    for bytes in [vec![], vec![0], vec![255, 0, 128]] {
        table.same(bytes.clone()).await;
        table.same(Some(bytes.clone().into_boxed_slice())).await;
        table.same(retainit_plugin::Bytes::from(bytes.clone())).await;
        table.same((1u8, bytes.clone(), Some(bytes.clone()))).await;
        table.same(bytes.iter().copied().collect::<BTreeSet<u8>>()).await;
    }
    table.same([7u8; 32]).await;
}

#[tokio::test]
async fn large_values() {
    let table = Table::new();
    table.same("ü".repeat(1 << 20)).await;
    table.same((0..1_000_000u32).map(|n| n as u8).collect::<Vec<u8>>()).await;
    table.same((1u8, vec![200u8; 200_000])).await;
    table.same((0..5_000u64).map(|n| (n.pow(3), Some(n.to_string()))).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn containers() {
    let table = Table::new();
    table.same(Vec::<String>::new()).await;
    table.same(BTreeMap::<String, u8>::new()).await;
    table.same(BTreeMap::from([(i64::MIN, "a".to_owned()), (0, String::new()), (i64::MAX, "b".to_owned())])).await;
    table.same(BTreeMap::from([(0u64, 1u8), (u64::MAX, 2)])).await;
    table.same(BTreeMap::from([(i128::MIN, 1u8), (i128::MAX, 2)])).await;
    table.same(BTreeMap::from([(true, 1u8)])).await;
    table.same(BTreeMap::from([('x', 1u8)])).await;
    table.same(HashMap::from([(7u32, vec![1u16])])).await;
    table.same(BTreeMap::from([(NonZeroU8::MIN, BTreeMap::from([(1u8, 2u8)]))])).await;
    table.refused_by(&["json"], BTreeMap::from([((1u8, 2u8), 3u8)])).await;
    table.same((Duration::MAX, PathBuf::from("/ü"), IpAddr::from([127, 0, 0, 1]))).await;
    table.same(vec![vec![vec![Vec::<u8>::new()]]]).await;
    table.same(Arc::new(Box::new((1u8, 2u8)))).await;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Unit;
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Empty {}
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Newtype(Option<Option<u8>>);
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fields {
    a: Option<Option<u8>>,
    b: Option<()>,
}

#[tokio::test]
async fn options_and_nothing() {
    let table = Table::new();
    table.same(()).await;
    table.same(Unit).await;
    table.same(Empty {}).await;
    table.same(Some(())).await;
    table.same(Some(Unit)).await;
    table.same(Some(None::<u8>)).await;
    table.same(Some(Some(7u8))).await;
    table.same(Some(Some(Some(7u8)))).await;
    table.same(Newtype(Some(None))).await;
    table.same(Newtype(Some(Some(1)))).await;
    table.refused_by(&PLAIN, Some(Some(None::<u8>))).await;
    table.same(Fields { a: Some(Some(1)), b: None }).await;
    table.refused_by(&PLAIN, Fields { a: Some(None), b: None }).await;
    table.refused_by(&PLAIN, Fields { a: None, b: Some(()) }).await;
    table.refused_by(&PLAIN, vec![Some(()), None]).await;
    // A unit struct is `null` in JSON, and an empty sequence in MessagePack.
    table.refused_by(&["json"], vec![Some(Unit), None]).await;
    table.same(Ok::<u8, String>(7)).await;
    table.same(Err::<u8, String>("no".into())).await;
    table.same(Some(Err::<Option<u8>, ()>(()))).await;
    table.same(Ok::<Option<u8>, ()>(None)).await;
    table.refused_by(&PLAIN, Ok::<Option<Option<u8>>, ()>(Some(None))).await;
}

#[tokio::test]
async fn json_values() {
    let table = Table::new();
    let value = json!({
        "": null, "list": [1, -1, 0.1, 1e300, true, "", {}], "big": u64::MAX, "small": i64::MIN, "nested": {"a": [[]]},
    });
    for value in [value, Value::Null, json!([]), json!("text"), json!(-0.0)] {
        table.refused_by(&["postcard"], value.clone()).await;
        table.refused_by(&["postcard"], vec![value.clone()]).await;
        table.refused_by(&["postcard"], Some(value)).await;
    }
    table.refused_by(&SERIALIZERS, vec![Some(Value::Null)]).await;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(Option<u8>),
    Tuple(u8, String),
    Struct { a: f32, b: Vec<u8> },
}
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Struct { a: f32, b: Vec<u8>, c: Option<i64> },
    Newtype(Empty),
}
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "content")]
enum Adjacent {
    Unit,
    Tuple(u8, String),
    Struct { a: f32 },
}
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Float(f64),
    Number(i64),
    Text(String),
    Pair(u8, Vec<u8>),
}
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Lossy {
    Float(f32),
    Number(i64),
}
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, i32>,
}

#[tokio::test]
async fn enums() {
    let table = Table::new();
    for value in [
        External::Unit,
        External::Newtype(Some(1)),
        External::Newtype(None),
        External::Tuple(1, String::new()),
        External::Struct { a: -0.0, b: vec![1] },
    ] {
        table.same(value.clone()).await;
        table.same(vec![value]).await;
    }
    for value in [Internal::Unit, Internal::Struct { a: 0.5, b: vec![0, 200], c: None }, Internal::Newtype(Empty {})] {
        table.refused_by(&["postcard"], value.clone()).await;
        table.refused_by(&["postcard"], Some(value)).await;
    }
    for value in [Adjacent::Unit, Adjacent::Tuple(1, "x".into()), Adjacent::Struct { a: 0.1 }] {
        table.refused_by(&["postcard"], vec![value]).await;
    }
    for value in [Untagged::Float(0.5), Untagged::Text("x".into()), Untagged::Pair(1, vec![2, 3])] {
        table.refused_by(&["postcard"], value).await;
    }
    // It is read as the first variant that takes it, which is another.
    table.refused_by(&SERIALIZERS, Untagged::Number(5)).await;
    table.refused_by(&["postcard"], Lossy::Float(0.5)).await;
    table.refused_by(&SERIALIZERS, Lossy::Number(16_777_217)).await;
    table.refused_by(&["postcard"], Flat { id: 1, rest: BTreeMap::from([("x".into(), -1)]) }).await;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    a: Option<u8>,
    b: Vec<u8>,
    #[serde(skip)]
    c: u8,
    #[serde(rename = "dee", alias = "d")]
    d: Option<String>,
}

/// Written without a field that reading expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing, default)]
    a: u8,
    b: u8,
    c: Vec<u8>,
}

#[tokio::test]
async fn fields_that_are_left_out() {
    let table = Table::new();
    table.same(Sparse { a: Some(1), b: vec![1, 0], c: 0, d: None }).await;
    table.refused_by(&["postcard"], Sparse { a: None, b: vec![1, 0], c: 0, d: Some("x".into()) }).await;
    for c in [vec![], vec![0], vec![0, 1, 0, 2]] {
        table.refused_by(&["postcard"], OneWay { a: 0, b: 1, c }).await;
    }
}

// T-134: no time is too long to wait.
#[tokio::test]
async fn the_longest_times_are_limits() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DiskConfig::new().base_path(folder.path());
    let longest = || Retainit::builder().op_timeout(Duration::MAX).decode_timeout(Duration::MAX);
    for builder in [
        longest().register_backend("default", MemoryConfig::new()),
        longest().register_backend("default", ByteConfig::new()),
        longest().register_backend("default", ByteConfig::new().blocking()),
        longest().register_backend("default", disk),
    ] {
        let instance = builder.build().unwrap();
        let cache =
            instance.cache::<u64>("longest").max_load_time(Duration::MAX).max_idle(Duration::MAX).build().unwrap();
        cache.set(&1, 1).await.unwrap();
        assert_eq!(cache.get(&1).await.unwrap().value(), Some(1));
        assert_eq!(cache.get_or_load(&2, async || 2).await, 2);
        assert_eq!(cache.get_or_load(&2, async || 3).await, 2);
        assert!(cache.remove(&1).await.unwrap());
        instance.invalidate_tag("t").await.unwrap();
        instance.close().await.unwrap();
    }
}
