use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::*;

fn print<V: DeserializeOwned + 'static>() -> u64 {
    let shape = shape::<V>();
    assert_eq!(shape, look_at::<V>(), "one type has one shape");
    assert!(!shape.cut);
    shape.fingerprint
}

macro_rules! types {
    ($($name:ident { $($body:tt)* })*) => {$(
        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its shape is looked at")]
        struct $name { $($body)* }
    )*};
}

#[test]
fn fields_count_by_name_kind_order_and_number() {
    types! {
        Base { id: u32, name: String }
        Same { id: u32, name: Arc<str> }
        Renamed { key: u32, name: String }
        Wider { id: u64, name: String }
        Turned { name: String, id: u32 }
        Added { id: u32, name: String, more: bool }
        Optional { id: u32, name: Option<String> }
        Skipped { id: u32, name: String, #[serde(skip)] more: bool }
    }
    let base = print::<Base>();
    assert_eq!(base, print::<Same>(), "names of structs do not count");
    assert_eq!(base, print::<Skipped>(), "nor do fields that are not written");
    let others = [print::<Renamed>(), print::<Wider>(), print::<Turned>(), print::<Added>(), print::<Optional>()];
    assert!(others.iter().all(|other| *other != base));
    assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), others.len());
}

#[test]
fn what_lies_behind_a_field_that_cannot_be_made_up_counts_too() {
    /// Refuses every text.
    #[derive(Debug)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(D::Error::custom(text))
        }
    }
    types! {
        Inner { picky: Picky, number: u32 }
        InnerWider { picky: Picky, number: u64 }
        Outer { inner: Inner, last: u8 }
        Deeper { inner: InnerWider, last: u8 }
        Last { inner: Inner, last: u16 }
        Address { at: std::net::IpAddr, port: std::num::NonZeroU16 }
    }
    assert_ne!(print::<Outer>(), print::<Deeper>());
    assert_ne!(print::<Outer>(), print::<Last>());
    print::<Address>();
}

#[test]
fn an_alias_hides_nothing() {
    types! {
        One { #[serde(alias = "b", alias = "c")] a: u8, last: u8 }
        Two { #[serde(alias = "b", alias = "c")] a: u8, last: u16 }
    }
    assert_ne!(print::<One>(), print::<Two>());
}

#[test]
fn variants_count_with_what_is_in_them() {
    macro_rules! enums {
        ($($name:ident { $($body:tt)* })*) => {$(
            #[derive(Deserialize)]
            #[expect(dead_code, reason = "only its shape is looked at")]
            enum $name { $($body)* }
        )*};
    }
    enums! {
        Base { A, B(u8), C { x: u8 }, D(u8, u8) }
        Renamed { A, Z(u8), C { x: u8 }, D(u8, u8) }
        Turned { B(u8), A, C { x: u8 }, D(u8, u8) }
        Wider { A, B(u8), C { x: u8 }, D(u8, u16) }
        Added { A, B(u8), C { x: u8 }, D(u8, u8), E }
        Field { A, B(u8), C { y: u8 }, D(u8, u8) }
        Unit { A, B, C { x: u8 }, D(u8, u8) }
    }
    let all = [
        print::<Base>(),
        print::<Renamed>(),
        print::<Turned>(),
        print::<Wider>(),
        print::<Added>(),
        print::<Field>(),
        print::<Unit>(),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn containers_count_with_what_is_in_them() {
    let all = [
        print::<u8>(),
        print::<Vec<u8>>(),
        print::<Vec<u16>>(),
        print::<Option<u8>>(),
        print::<[u8; 3]>(),
        print::<[u8; 4]>(),
        print::<(u8, u16)>(),
        print::<(u16, u8)>(),
        print::<BTreeMap<u8, u16>>(),
        print::<BTreeMap<u8, u32>>(),
        print::<Result<u8, u16>>(),
        print::<Result<Result<u8, u8>, u16>>(),
        print::<Result<Result<u8, u16>, u16>>(),
        print::<()>(),
        print::<String>(),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(print::<BTreeMap<u8, u16>>(), print::<HashMap<u8, u16>>());
    assert_eq!(print::<Box<u8>>(), print::<u8>());
}

#[test]
fn types_that_contain_themselves_come_to_an_end() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Expression {
        Number(f64),
        Add(Box<Expression>, Box<Expression>),
        Call { name: String, arguments: Vec<Expression> },
        Not(Box<Expression>),
        If(Box<(Expression, Expression, Expression)>),
    }
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct List(Option<Box<List>>);
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    struct Tree {
        left: Option<Box<Tree>>,
        right: Option<Box<Tree>>,
        middle: Vec<Tree>,
        value: u8,
    }
    /// There is no such value.
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Never {
        Again(Box<Never>),
    }
    for shape in [shape::<Expression>(), shape::<List>(), shape::<Tree>(), shape::<Never>()] {
        assert_ne!(shape.fingerprint, 0);
    }
    assert_eq!(look_at::<Expression>(), look_at::<Expression>());
    assert_ne!(shape::<Expression>().fingerprint, shape::<Tree>().fingerprint);
}

#[test]
fn a_panic_stays_inside() {
    struct Panics;
    impl<'de> Deserialize<'de> for Panics {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            assert!(!text.is_empty(), "made-up values are not foreseen");
            Ok(Panics)
        }
    }
    assert!(shape::<Panics>().cut);
    assert!(shape::<Vec<Panics>>().cut);
}

#[test]
fn types_that_ask_what_comes_next_are_known() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Untagged {
        A(u8),
        B(String),
    }
    #[derive(Deserialize)]
    #[serde(tag = "t")]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Tagged {
        A { x: u8 },
    }
    types! {
        Flat { a: u8, #[serde(flatten)] rest: BTreeMap<String, u8> }
        Deep { a: Option<Vec<(u8, Untagged)>> }
        Plain { a: Option<Vec<(u8, Result<u8, String>)>> }
    }
    assert!(shape::<Untagged>().asks && shape::<Tagged>().asks && shape::<Flat>().asks && shape::<Deep>().asks);
    assert!(shape::<serde_json::Value>().asks);
    assert!(!shape::<Plain>().asks);
}
