// T-128: keys are canonical, injective and stable.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Serialize;

use super::*;

mod families;
mod model;

fn args(value: impl Serialize) -> String {
    let key = KeyBuf::new(&Args(value)).expect("serializable");
    text::canonical_text(key.bytes())
}

#[derive(Serialize)]
enum Shape {
    Unit,
    #[serde(rename = "true")]
    Tricky,
    One(u64),
    Two(u64, String),
    Named {
        b: Option<bool>,
        a: i64,
    },
}

#[derive(Serialize)]
struct Nothing;
#[derive(Serialize)]
struct Meters(f64);
#[derive(Serialize)]
struct Point(u8, u8);
#[derive(Serialize)]
struct Region {
    b: u8,
    a: u8,
}

#[test]
fn texts_are_stable() {
    // A change here is a change of every key ever stored.
    for (text, expected) in [
        (args(42u8), "42"),
        (args(42i64), "42"),
        (args(-1i8), "-1"),
        (args(i128::MIN), "-170141183460469231731687303715884105728"),
        (args(u128::MAX), "340282366920938463463374607431768211455"),
        (args(1.0f32), "1.0"),
        (args(-0.0f64), "-0.0"),
        (args(f64::NAN), "NaN"),
        (args(-f64::NAN), "NaN"),
        (args("a b:c\"é"), "\"a%20b%3Ac%22é\""),
        (args('x'), "'x'"),
        (args(""), "\"\""),
        (args("null"), "\"null\""),
        (args(None::<u8>), "~"),
        (args(Some(None::<u8>)), "+~"),
        (args(Some("x")), "+\"x\""),
        (args(()), "()"),
        (args((1, "x")), "(1,\"x\")"),
        (args((1,)), "(1)"),
        (args(vec![1, 2]), "(1,2)"),
        (args(vec![vec![1, 2]]), "((1,2))"),
        (args(Vec::<u8>::new()), "(,)"),
        (args(BTreeMap::<u8, u8>::new()), "(=)"),
        (args(HashMap::from([("b", 1), ("a", 2)])), "(\"a\"=2,\"b\"=1)"),
        (args(true), "true"),
        (args(Shape::Unit), "Shape.Unit"),
        (args(Shape::Tricky), "Shape.true"),
        (args(Shape::One(1)), "Shape.One(1)"),
        (args(Shape::Two(1, "x".into())), "Shape.Two(1,\"x\")"),
        (args(Shape::Named { b: None, a: 1 }), "Shape.Named(\"a\"=1,\"b\"=~)"),
        (args(Nothing), "Nothing()"),
        (args(Meters(1.5)), "Meters(1.5)"),
        (args(Point(1, 2)), "Point(1,2)"),
        (args(Region { b: 1, a: 2 }), "Region(\"a\"=2,\"b\"=1)"),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn long_arguments_become_a_digest() {
    let key = KeyBuf::new(&Args("x".repeat(100))).unwrap();
    assert_eq!(key.text(), "#t3i6xqnqr3ju4t2efz4fn56sby");
    assert_eq!(KeyBuf::new(&Args("x".repeat(62))).unwrap().text().len(), 64);
}

#[test]
fn a_template_keeps_its_values_apart() {
    let key = |a: &str, b: &str| {
        let template = Template { literals: &["", "_", ""], between: "_", types: &[], values: (a, b) };
        KeyBuf::new(&template).unwrap().text()
    };
    assert_ne!(key("x_y", "z"), key("x", "y_z"));
    assert_eq!(key("x", "y"), "x_y");
    let user = Template { literals: &["user:", ""], between: "", types: &[], values: (42u64,) };
    assert_eq!(KeyBuf::new(&user).unwrap().text(), "user:42");
}

#[test]
fn a_value_that_cannot_be_written_is_an_error() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    assert_eq!(KeyBuf::new(&Args(Broken)).unwrap_err().kind(), ErrorKind::Key);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_escapes_its_field(a in ".{0,12}", b in ".{0,12}") {
        let text = args((&a, &b));
        let special = text.contains(['*', '?', '[', ']', '{', '}', ':', '/', '@', '=', ' ']);
        prop_assert!(!special);
        prop_assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace()));
        prop_assert_eq!(text.matches('"').count(), 4);
        prop_assert!(!Pattern::new(&text).matches(&args((&b, &a))) || a == b);
    }

    #[test]
    fn template_values_never_meet(
        a in "[a-c_:/.%-]{0,5}", b in "[a-c_:/.%-]{0,5}", c in "[a-c_:/.%-]{0,5}", d in "[a-c_:/.%-]{0,5}"
    ) {
        let key = |x: &String, y: &String| {
            KeyBuf::new(&Template { literals: &["k.", "_-", ""], between: "_-", types: &[], values: (x, y) }).unwrap().full_text()
        };
        prop_assert_eq!(key(&a, &b) == key(&c, &d), (&a, &b) == (&c, &d));
    }

    #[test]
    fn patterns_agree_with_a_slow_matcher(pattern in "[ab*?]{0,6}", key in "[ab]{0,6}") {
        fn slow(p: &[char], k: &[char]) -> bool {
            match p.split_first() {
                None => k.is_empty(),
                Some(('*', rest)) => (0..=k.len()).any(|i| slow(rest, &k[i..])),
                Some((c, rest)) => k.split_first().is_some_and(|(d, k)| (*c == '?' || c == d) && slow(rest, k)),
            }
        }
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        prop_assert_eq!(Pattern::new(&pattern).matches(&key), slow(&chars(&pattern), &chars(&key)));
    }
}
