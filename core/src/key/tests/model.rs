// T-128: all of serde's data model. Two values have one key if and only if their `meaning` is equal.

use std::collections::HashMap;

use serde::Serializer;
use serde::ser::{
    SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeStructVariant as _, SerializeTuple as _,
    SerializeTupleStruct as _, SerializeTupleVariant as _,
};

use super::*;

type Name = &'static str;
type Fields = Vec<(Name, Model)>;

/// A call to each method of a serializer. Numbers carry their width.
#[derive(Clone, Debug)]
enum Model {
    Bool(bool),
    Signed(i128, u8),
    Unsigned(u128, u8),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    Octets(Vec<u8>),
    Absent,
    Present(Box<Model>),
    Unit,
    UnitStruct(Name),
    UnitVariant(Name, Name),
    NewtypeStruct(Name, Box<Model>),
    NewtypeVariant(Name, Name, Box<Model>),
    /// True if the length is announced.
    Seq(Vec<Model>, bool),
    Tuple(Vec<Model>),
    TupleStruct(Name, Vec<Model>),
    TupleVariant(Name, Name, Vec<Model>),
    Map(Vec<(Model, Model)>),
    Struct(Name, Fields),
    StructVariant(Name, Name, Fields),
}

use Model::*;

macro_rules! parts {
    ($serializer:expr, $method:ident($parts:expr)) => {{
        let mut serializer = $serializer?;
        for (name, part) in $parts {
            serializer.$method(name, part)?;
        }
        serializer.end()
    }};
    ($serializer:expr, $method:ident $parts:expr) => {{
        let mut serializer = $serializer?;
        for part in $parts {
            serializer.$method(part)?;
        }
        serializer.end()
    }};
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Bool(v) => s.serialize_bool(*v),
            Signed(v, 8) => s.serialize_i8(*v as i8),
            Signed(v, 16) => s.serialize_i16(*v as i16),
            Signed(v, 32) => s.serialize_i32(*v as i32),
            Signed(v, 64) => s.serialize_i64(*v as i64),
            Signed(v, _) => s.serialize_i128(*v),
            Unsigned(v, 8) => s.serialize_u8(*v as u8),
            Unsigned(v, 16) => s.serialize_u16(*v as u16),
            Unsigned(v, 32) => s.serialize_u32(*v as u32),
            Unsigned(v, 64) => s.serialize_u64(*v as u64),
            Unsigned(v, _) => s.serialize_u128(*v),
            F32(v) => s.serialize_f32(*v),
            F64(v) => s.serialize_f64(*v),
            Char(v) => s.serialize_char(*v),
            Str(v) => s.serialize_str(v),
            Octets(v) => s.serialize_bytes(v),
            Absent => s.serialize_none(),
            Present(v) => s.serialize_some(&**v),
            Unit => s.serialize_unit(),
            UnitStruct(name) => s.serialize_unit_struct(name),
            UnitVariant(name, variant) => s.serialize_unit_variant(name, 0, variant),
            NewtypeStruct(name, v) => s.serialize_newtype_struct(name, &**v),
            NewtypeVariant(name, variant, v) => s.serialize_newtype_variant(name, 0, variant, &**v),
            Seq(v, announced) => parts!(s.serialize_seq(announced.then_some(v.len())), serialize_element v),
            Tuple(v) => parts!(s.serialize_tuple(v.len()), serialize_element v),
            TupleStruct(name, v) => parts!(s.serialize_tuple_struct(name, v.len()), serialize_field v),
            TupleVariant(name, variant, v) => {
                parts!(s.serialize_tuple_variant(name, 0, variant, v.len()), serialize_field v)
            }
            Map(v) => parts!(s.serialize_map(Some(v.len())), serialize_entry(v)),
            Struct(name, v) => parts!(s.serialize_struct(name, v.len()), serialize_field(v)),
            StructVariant(name, variant, v) => {
                parts!(s.serialize_struct_variant(name, 0, variant, v.len()), serialize_field(v))
            }
        }
    }
}

/// Describes the part of a value that its key preserves.
fn meaning(value: &Model) -> String {
    let list = |items: &[Model]| items.iter().map(meaning).collect::<Vec<_>>();
    let fields = |fields: &Fields| {
        let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, meaning(value))).collect();
        fields.sort();
        fields
    };
    let float = |v: f64| format!("float {:?}", if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() });
    match value {
        Signed(v, _) => format!("number {v}"),
        Unsigned(v, _) => format!("number {v}"),
        F32(v) => float(f64::from(*v)),
        F64(v) => float(*v),
        Present(v) => format!("some {}", meaning(v)),
        NewtypeStruct(name, v) => format!("newtype {name:?} {}", meaning(v)),
        NewtypeVariant(name, variant, v) => format!("variant {name:?} {variant:?} newtype {}", meaning(v)),
        Seq(v, _) | Tuple(v) => format!("list {:?}", list(v)),
        TupleStruct(name, v) => format!("tuple {name:?} {:?}", list(v)),
        TupleVariant(name, variant, v) => format!("variant {name:?} {variant:?} tuple {:?}", list(v)),
        Map(v) => {
            let mut entries: Vec<_> = v.iter().map(|(key, value)| (meaning(key), meaning(value))).collect();
            entries.sort();
            format!("map {entries:?}")
        }
        Struct(name, v) => format!("struct {name:?} {:?}", fields(v)),
        StructVariant(name, variant, v) => format!("variant {name:?} {variant:?} struct {:?}", fields(v)),
        plain => format!("{plain:?}"),
    }
}

const NAMES: [Name; 6] = ["A", "b", "", "1", "A.b", "true"];

fn leaves() -> Vec<Model> {
    let texts = [
        "",
        "a",
        "5",
        "-1",
        "1.0",
        "NaN",
        "inf",
        "true",
        "null",
        "~",
        "+5",
        "+~",
        "()",
        "(,)",
        "(=)",
        "(5)",
        "(5,5)",
        "'a'",
        "''",
        "'61'",
        "\"a\"",
        "A",
        "A.b",
        "A.",
        ".b",
        "%.b",
        "b.A",
        "A()",
        "A(5)",
        "A.b(5)",
        "%31.b",
        "A%2Eb.1",
        "#a",
        "A.b.true",
        "1e300",
        "5 ",
        "(\"a\"=5)",
        "A(\"A\"=5)",
    ];
    let mut leaves: Vec<Model> = texts.into_iter().map(|text| Str(text.into())).collect();
    leaves.extend([8, 16, 32, 64, 128].map(|width| Signed(5, width)));
    leaves.extend([8, 16, 32, 64, 128].map(|width| Unsigned(5, width)));
    leaves.extend([8, 128].map(|width| Signed(-1, width)));
    leaves.extend([Unsigned(u128::MAX, 128), Unsigned(1 << 64, 128), Signed(i128::MIN, 128), Signed(1 << 64, 128)]);
    leaves.extend([Unsigned(u64::MAX.into(), 64), Signed(-(1 << 64), 128), Signed(-(1 << 64) - 1, 128)]);
    leaves.extend([
        F32(1.0),
        F64(1.0),
        F64(-0.0),
        F32(0.0),
        F32(0.1),
        F64(0.1),
        F64(5.0),
        F64(f64::NAN),
        F32(-f32::NAN),
    ]);
    leaves.extend([F64(f64::INFINITY), F64(f64::NEG_INFINITY), F64(1e300)]);
    leaves.extend(['a', '\'', ' ', '5', 'é', '"', '%'].map(Char));
    leaves.extend([&b""[..], b"a", b"a5", b"\x05"].map(|bytes| Octets(bytes.to_vec())));
    leaves.extend([Bool(true), Bool(false), Absent, Unit]);
    for name in NAMES {
        leaves.push(UnitStruct(name));
        leaves.extend(NAMES.map(|variant| UnitVariant(name, variant)));
    }
    leaves
}

/// Builds every value that consists of one or two others.
fn around(a: &Model, b: &Model) -> Vec<Model> {
    let one = || Box::new(a.clone());
    let mut made = vec![Present(one()), NewtypeStruct("A", one()), NewtypeStruct("b", one())];
    made.extend([NewtypeVariant("A", "b", one()), NewtypeVariant("b", "A", one())]);
    for items in [vec![], vec![a.clone()], vec![a.clone(), b.clone()], vec![a.clone(), b.clone(), b.clone()]] {
        made.extend([Seq(items.clone(), true), Seq(items.clone(), false), Tuple(items.clone())]);
        made.extend([TupleStruct("A", items.clone()), TupleStruct("", items.clone()), TupleVariant("A", "b", items)]);
    }
    let entries = [vec![], vec![(a.clone(), b.clone())], vec![(a.clone(), b.clone()), (Unit, a.clone())]];
    made.extend(entries.into_iter().map(Map));
    for fields in [vec![], vec![("A", a.clone())], vec![("b", a.clone()), ("A", b.clone())]] {
        made.extend([Struct("A", fields.clone()), Struct("", fields.clone()), StructVariant("A", "b", fields.clone())]);
        let entries = |(name, value): (Name, Model)| (Str(name.into()), value);
        made.push(Map(fields.into_iter().rev().map(entries).collect()));
    }
    made
}

/// Returns a key in each of its forms: bytes, text, text of a template; the digest of a long one; the hash.
fn forms(value: &Model) -> [(&'static str, String); 5] {
    let key = KeyBuf::new(&Args(value)).unwrap();
    let text = text::canonical_text(key.bytes());
    let long = KeyBuf::new(&Args(("x".repeat(64), value))).unwrap();
    let template = Template { literals: &["k-", ""], between: "", types: &[], values: (value,) };
    assert_eq!(hash(&HashSeed::of_process(), &Args(value)).unwrap(), key.hash(), "{value:?}");
    assert!(is_equal(&Args(value), key.bytes()), "{value:?}");
    [
        ("bytes", format!("{:x?}", key.bytes())),
        ("text", text),
        ("digest", format!("{}{:x?}", long.text(), long.args_digest())),
        ("hash", key.hash().to_string()),
        ("template", KeyBuf::new(&template).unwrap().full_text()),
    ]
}

/// Known keys; fails where two values share a form and differ in meaning, or the other way round.
#[derive(Default)]
struct Keys {
    of_meaning: HashMap<(&'static str, String), (String, Model)>,
    of_form: HashMap<(&'static str, String), (String, Model)>,
}

impl Keys {
    fn add(&mut self, value: &Model) {
        for (form, text) in forms(value) {
            let meaning = meaning(value);
            let known = self.of_form.entry((form, text.clone())).or_insert_with(|| (meaning.clone(), value.clone()));
            assert_eq!(known.0, meaning, "{form} {text} of {:?} and {value:?}", known.1);
            let known = self.of_meaning.entry((form, meaning)).or_insert_with(|| (text.clone(), value.clone()));
            assert_eq!(known.0, text, "{form} of {:?} and {value:?}", known.1);
        }
    }
}

#[test]
fn small_values_have_one_key_if_they_are_the_same() {
    let (mut keys, leaves) = (Keys::default(), leaves());
    leaves.iter().for_each(|leaf| keys.add(leaf));
    for (i, a) in leaves.iter().enumerate() {
        for made in around(a, &leaves[(i * 7 + 3) % leaves.len()]) {
            keys.add(&made);
            // Wrapped twice around a few, so that brackets meet brackets.
            if i % 16 == 0 {
                around(&made, a).iter().for_each(|twice| keys.add(twice));
            }
        }
    }
    assert!(keys.of_meaning.len() > 20_000, "{}", keys.of_meaning.len());
}

fn anything() -> impl Strategy<Value = Model> {
    let name = || proptest::sample::select(&NAMES[..]);
    let leaf = prop_oneof![proptest::sample::select(leaves()), "[ab5\"%,()=~+'. ]{0,4}".prop_map(Str)];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let (some, many) = (inner.clone().prop_map(Box::new), proptest::collection::vec(inner.clone(), 0..4));
        let fields = proptest::collection::vec((name(), inner.clone()), 0..3);
        prop_oneof![
            some.clone().prop_map(Present),
            (name(), some.clone()).prop_map(|(name, v)| NewtypeStruct(name, v)),
            (name(), name(), some).prop_map(|(name, variant, v)| NewtypeVariant(name, variant, v)),
            (many.clone(), any::<bool>()).prop_map(|(v, announced)| Seq(v, announced)),
            many.clone().prop_map(Tuple),
            (name(), many.clone()).prop_map(|(name, v)| TupleStruct(name, v)),
            (name(), name(), many).prop_map(|(name, variant, v)| TupleVariant(name, variant, v)),
            proptest::collection::vec((inner.clone(), inner), 0..3).prop_map(Map),
            (name(), fields.clone()).prop_map(|(name, v)| Struct(name, v)),
            (name(), name(), fields).prop_map(|(name, variant, v)| StructVariant(name, variant, v)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_values_have_one_key_if_they_are_the_same(values in proptest::collection::vec(anything(), 40)) {
        let mut keys = Keys::default();
        // Fields and keys with equal names keep their order, which `meaning` does not describe.
        let is_plain = |value: &&Model| !format!("{value:?}").contains("Map") && !has_repeated_fields(value);
        values.iter().filter(is_plain).for_each(|value| keys.add(value));
    }
}

fn has_repeated_fields(value: &Model) -> bool {
    let has_repeated = |fields: &Fields| {
        fields
            .iter()
            .enumerate()
            .any(|(i, (name, v))| has_repeated_fields(v) || fields[..i].iter().any(|(other, _)| other == name))
    };
    match value {
        Present(v) | NewtypeStruct(_, v) | NewtypeVariant(_, _, v) => has_repeated_fields(v),
        Seq(v, _) | Tuple(v) | TupleStruct(_, v) | TupleVariant(_, _, v) => v.iter().any(has_repeated_fields),
        Struct(_, fields) | StructVariant(_, _, fields) => has_repeated(fields),
        _ => false,
    }
}

#[test]
fn what_breaks_the_rules_of_a_serializer_has_no_key() {
    struct Lies(Option<usize>, usize);
    impl Serialize for Lies {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(self.0)?;
            (0..self.1).try_for_each(|i| seq.serialize_element(&i))?;
            seq.end()
        }
    }
    struct Keyless;
    impl Serialize for Keyless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_key("a")?;
            map.serialize_key("b")?;
            map.end()
        }
    }
    for (announced, len) in [(2, 1), (2, 0), (1, 2), (0, 2)] {
        assert!(KeyBuf::new(&Args(Lies(Some(announced), len))).is_err(), "{announced} {len}");
    }
    for len in 0..3 {
        let right = KeyBuf::new(&Args(Lies(Some(len), len))).unwrap();
        let uncounted = KeyBuf::new(&Args(Lies(None, len))).unwrap();
        assert_eq!((right.bytes(), right.hash()), (uncounted.bytes(), uncounted.hash()));
    }
    assert!(KeyBuf::new(&Args(Keyless)).is_err());
}
