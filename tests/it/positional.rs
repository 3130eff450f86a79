//! Tests that formats which go by place recognize a changed type by its fingerprint, and that a type is refused if the
//! fingerprint cannot see every part of it.

use retainit::{ErrorKind, Retainit};
use retainit_testkit::{ByteConfig, ByteStore};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

/// A colour by its name, of which no value can be made up.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Color(String);

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == "crimson" { Ok(Color(name)) } else { Err(D::Error::custom("no colour")) }
    }
}

fn crimson() -> Color {
    Color("crimson".into())
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Paint {
    None,
    Of(Color, u32),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pot {
    litres: u32,
    #[serde(default = "crimson")]
    color: Color,
}

/// A type with a complete fingerprint: it contains itself, and its parts accept some value or other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    at: Option<std::num::NonZeroU8>,
    from: std::net::IpAddr,
    children: Vec<Tree>,
    parent: Option<Box<Tree>>,
    weight: i128,
}

/// Stores a value in each format: the text of the error where one cannot hold values of this type.
fn in_each_format<V>(store: &ByteStore, value: &V) -> [Result<(), String>; 2]
where
    V: Clone + PartialEq + std::fmt::Debug + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    ["postcard", "json"].map(|serializer| {
        let instance = Retainit::builder().register_backend("default", ByteConfig::on(store)).build().unwrap();
        let cache = instance.cache::<V>(serializer).serializer(serializer).build().map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::Config);
            error.to_string()
        })?;
        cache.blocking().set(&1, value.clone()).unwrap();
        assert_eq!(cache.blocking().get(&1).unwrap().value().as_ref(), Some(value));
        Ok(())
    })
}

#[test]
fn a_type_with_a_part_that_is_not_seen_is_refused() {
    let store = ByteStore::new();
    let refused = [
        in_each_format(&store, &(crimson(), 6u32)),
        in_each_format(&store, &(6u32, crimson())),
        in_each_format(&store, &vec![crimson()]),
        in_each_format(&store, &Some(Some(crimson()))),
        in_each_format(&store, &Paint::Of(crimson(), 6)),
        in_each_format(&store, &Pot { litres: 6, color: crimson() }),
        in_each_format(&store, &std::collections::BTreeMap::from([(1u8, (crimson(), 6u32))])),
    ];
    for [postcard, json] in refused {
        let error = postcard.unwrap_err();
        assert!(error.contains("Color") || error.contains("Paint") || error.contains("Pot"), "{error}");
        assert!(error.contains("`postcard`") && error.contains("\"msgpack\""), "{error}");
        json.unwrap();
    }
    // Nothing was written that another type could be read from.
    assert!(store.keys().iter().all(|key| key.contains(":json@")), "{:?}", store.keys());
}

#[test]
fn a_type_that_is_seen_as_a_whole_is_not() {
    let leaf = || Tree {
        at: std::num::NonZeroU8::new(3),
        from: std::net::Ipv4Addr::LOCALHOST.into(),
        children: vec![],
        parent: None,
        weight: i128::MIN,
    };
    let tree = Tree { children: vec![leaf(), leaf()], parent: Some(Box::new(leaf())), ..leaf() };
    assert_eq!(in_each_format(&ByteStore::new(), &tree), [Ok(()), Ok(())]);
}
