use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::*;

fn print<V: DeserializeOwned + 'static>() -> u64 {
    let shape = shape::<V>();
    assert_eq!(shape, trace::<V>(), "one type has one shape");
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
fn what_is_behind_a_field_that_cannot_be_made_up_counts_too() {
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

/// Accepts a text that no made-up value has.
#[derive(Debug)]
struct Color;
impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match &*String::deserialize(deserializer)? {
            "crimson" => Ok(Color),
            other => Err(D::Error::custom(other)),
        }
    }
}

/// Replaces an unreadable value by its default.
#[derive(Debug, Default)]
struct Lenient<T>(Option<T>);
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Lenient(T::deserialize(deserializer).ok()))
    }
}

#[test]
fn a_type_with_a_part_that_cannot_be_made_up_is_known() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Variants {
        Plain,
        Colored(Color, u32),
    }
    #[derive(Deserialize)]
    #[serde(try_from = "u8")]
    struct Never;
    impl TryFrom<u8> for Never {
        type Error = String;
        fn try_from(_: u8) -> Result<Never, String> {
            Err("no".into())
        }
    }
    types! {
        Field { color: Color, number: u32 }
        Defaulted { #[serde(default = "color")] color: Color, number: u32 }
        Checked { a: u8, b: Never }
    }
    fn color() -> Color {
        Color
    }
    for shape in [
        shape::<Color>(),
        shape::<(Color, u32)>(),
        shape::<(u32, Color)>(),
        shape::<[Color; 2]>(),
        shape::<Vec<Color>>(),
        shape::<Option<Color>>(),
        shape::<BTreeMap<u8, Color>>(),
        shape::<HashMap<String, (u8, Color)>>(),
        shape::<Result<u8, Color>>(),
        shape::<Box<Color>>(),
        shape::<Variants>(),
        shape::<Field>(),
        shape::<Defaulted>(),
        shape::<Checked>(),
        shape::<Lenient<Color>>(),
        shape::<(Lenient<(Color, u8)>, u32)>(),
        shape::<std::ops::Range<Color>>(),
    ] {
        assert!(shape.unseen || shape.cut, "{shape:?}");
    }
}

#[test]
fn the_usual_types_can_be_made_up() {
    #[derive(Deserialize)]
    #[serde(try_from = "u32")]
    struct Month;
    impl TryFrom<u32> for Month {
        type Error = String;
        fn try_from(month: u32) -> Result<Month, String> {
            if (1..=12).contains(&month) { Ok(Month) } else { Err("no month".into()) }
        }
    }
    #[derive(Deserialize)]
    enum Other {
        A,
        #[serde(other)]
        Unknown,
    }
    types! {
        Numbers { a: std::num::NonZeroU8, b: std::num::NonZeroI128, c: Option<std::num::NonZeroU64>, d: i128, e: u128 }
        Net { a: std::net::IpAddr, b: std::net::SocketAddr, c: std::net::Ipv6Addr }
        Std { a: std::path::PathBuf, b: std::time::Duration, c: std::time::SystemTime, d: char, e: std::ffi::CString }
        Wrapped { a: std::borrow::Cow<'static, str>, b: Box<[u8]>, c: std::ops::Bound<u8>, d: std::num::Wrapping<u8> }
        Aliased { #[serde(alias = "b", alias = "c")] a: u8, last: Month, other: Other }
        Maps { a: BTreeMap<std::num::NonZeroU8, (char, u8)>, b: HashMap<(u8, bool), Vec<Option<Month>>> }
    }
    for shape in [
        shape::<Numbers>(),
        shape::<Net>(),
        shape::<Std>(),
        shape::<Wrapped>(),
        shape::<Aliased>(),
        shape::<Maps>(),
        shape::<(Month, Other, ())>(),
    ] {
        assert!(!shape.unseen && !shape.cut && !shape.needs_self_describing, "{shape:?}");
    }
}

// A type whose fields only look as if it were inside itself is traced in full.
#[test]
fn types_of_the_same_fields_are_not_one_type() {
    macro_rules! nested {
        ($name:ident: $last:ty) => {
            mod $name {
                use serde::Deserialize;
                types! {
                    A { v: B }
                    B { v: C }
                    C { v: D }
                    D { v: E }
                    E { v: $last }
                }
                #[derive(Deserialize)]
                #[expect(dead_code, reason = "only its shape is looked at")]
                pub(super) struct Top {
                    v: A,
                }
            }
        };
    }
    nested!(narrow: u8);
    nested!(wide: u16);
    assert_ne!(print::<narrow::Top>(), print::<wide::Top>());
    assert!(!shape::<narrow::Top>().unseen);
}

#[test]
fn what_is_behind_a_type_inside_itself_counts() {
    macro_rules! types_of {
        ($name:ident: $last:ty) => {
            mod $name {
                use serde::Deserialize;
                #[derive(Deserialize)]
                #[expect(dead_code, reason = "only its shape is looked at")]
                pub(super) enum Expression {
                    Add(Box<Expression>, Box<Expression>, u8),
                    Block(Box<Block>, $last),
                    Number(f64),
                }
                #[derive(Deserialize)]
                #[expect(dead_code, reason = "only its shape is looked at")]
                pub(super) struct Block {
                    first: Statement,
                    rest: Vec<Statement>,
                }
                #[derive(Deserialize)]
                #[expect(dead_code, reason = "only its shape is looked at")]
                pub(super) enum Statement {
                    Nested(Box<Block>, Expression, $last),
                    Let(String, Expression),
                    Empty,
                }
            }
        };
    }
    types_of!(narrow: u8);
    types_of!(wide: u16);
    assert_ne!(print::<narrow::Expression>(), print::<wide::Expression>());
    assert_ne!(print::<narrow::Block>(), print::<wide::Block>());
    assert_ne!(print::<narrow::Statement>(), print::<wide::Statement>());
    assert!(!shape::<narrow::Expression>().unseen && !shape::<narrow::Block>().unseen);
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
    /// A type without values.
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its shape is looked at")]
    enum Never {
        Again(Box<Never>),
    }
    for shape in [shape::<Expression>(), shape::<List>(), shape::<Tree>(), shape::<Never>()] {
        assert_ne!(shape.fingerprint, 0);
    }
    assert_eq!(trace::<Expression>(), trace::<Expression>());
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
    assert!(
        shape::<Untagged>().needs_self_describing
            && shape::<Tagged>().needs_self_describing
            && shape::<Flat>().needs_self_describing
            && shape::<Deep>().needs_self_describing
    );
    assert!(shape::<serde_json::Value>().needs_self_describing);
    assert!(!shape::<Plain>().needs_self_describing);
}
