use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Deserialize;

use super::*;

fn sealed(encoded: &Encoded, format: Format) -> Sealed<&[u8]> {
    Sealed { format, fingerprint: encoded.fingerprint, option_tag: encoded.option_tag, payload: &encoded.payload }
}

fn format(encoded: &Encoded) -> Format {
    [Format::MsgPack, Format::Text, Format::Bytes].into_iter().find(|f| f.name() == encoded.serializer).unwrap()
}

/// Writes a value and compares it by its digest, or by `equal`.
fn compared<V: Serialize + DeserializeOwned + 'static>(value: &V, equal: Option<Equal<V>>) -> Result<Encoded> {
    encode(value, None, Some(Back { history: &ReadBack::default(), equal, source: None }))
}

fn round<V: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: V) -> Encoded {
    compared(&value, Some(V::eq)).expect("comes back, as it compares");
    let encoded = compared(&value, None).expect("serializable, and comes back");
    assert_eq!(decode::<V>(&sealed(&encoded, format(&encoded)), None).expect("readable"), value);
    encoded
}

fn refused<V: Serialize + DeserializeOwned + 'static>(value: V) -> String {
    let error = compared(&value, None).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Codec);
    error.report()
}

#[test]
fn what_messagepack_would_confuse_comes_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped(Option<Option<u8>>);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        a: Option<u8>,
        b: Vec<String>,
    }
    let option_tag = |encoded: Encoded| encoded.option_tag;
    assert_eq!(option_tag(round(Some(()))), OptionTag::Some);
    assert_eq!(option_tag(round(None::<()>)), OptionTag::None);
    assert_eq!(option_tag(round(Some(None::<u8>))), OptionTag::Some);
    assert_eq!(option_tag(round(Some(Some(1u8)))), OptionTag::Some);
    assert_eq!(option_tag(round(Wrapped(Some(None)))), OptionTag::Some);
    assert_eq!(option_tag(round(Wrapped(None))), OptionTag::None);
    assert_eq!(option_tag(round(())), OptionTag::Plain);
    assert_eq!(option_tag(round(Some(Named { a: None, b: vec!["x".into()] }))), OptionTag::Some);
    assert_eq!(option_tag(round(Named { a: Some(1), b: vec![] })), OptionTag::Plain);
    assert_eq!(option_tag(round(Err::<u8, String>("no".into()))), OptionTag::Plain);
    assert_eq!(option_tag(round(vec![Some(1), None])), OptionTag::Plain);
}

#[test]
fn a_some_of_nothing_inside_a_value_is_refused() {
    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Empty;
    assert!(refused(vec![Some(None::<u8>)]).contains("would be read as `None`"));
    assert!(refused((1u8, Some(()))).contains("would be read as `None`"));
    assert!(refused(Some(Some(Some(None::<u8>)))).contains("would be read as `None`"));
    round(vec![Some(Some(1u8)), None]);
    round(vec![Some(Empty), None]);
}

#[test]
fn a_changed_type_is_an_error_and_an_added_field_is_not() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        id: u8,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct New {
        id: u8,
        #[serde(default)]
        name: String,
    }
    let old = encode(&Old { id: 7 }, None, None).expect("serializable");
    let old = sealed(&old, Format::MsgPack);
    let new: New = decode(&old, None).expect("an added field has its default");
    assert_eq!((new.id, new.name.as_str()), (7, ""));
    assert_eq!(decode::<String>(&old, None).unwrap_err().kind(), ErrorKind::Codec);
    assert!(decode::<u8>(&Sealed { option_tag: OptionTag::None, ..old }, None).is_err());
}

// T-72
#[test]
fn text_and_bytes_go_as_they_are() {
    for encoded in [
        round(String::from("x\u{1f980}")),
        round(Box::<str>::from("x\u{1f980}")),
        round(Some(Arc::<str>::from("x\u{1f980}"))),
    ] {
        assert_eq!((encoded.serializer, encoded.payload.as_slice()), ("string", "x\u{1f980}".as_bytes()));
    }
    let bytes = [0u8, 255, 7];
    for encoded in [
        round(bytes.to_vec()),
        round(Bytes::copy_from_slice(&bytes)),
        round(Arc::<[u8]>::from(bytes)),
        round(Some(Box::<[u8]>::from(bytes))),
    ] {
        assert_eq!((encoded.serializer, encoded.payload.as_slice()), ("bytes", &bytes[..]));
    }
    assert_eq!(round(None::<String>).option_tag, OptionTag::None);
    assert_eq!(round(vec![String::new()]).serializer, "msgpack");
}

#[test]
fn text_and_bytes_written_as_messagepack_are_read() {
    fn through<V: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: V) {
        let encoded = encode(&value, Some(&Format::MsgPack), None).unwrap();
        assert_eq!(encoded.serializer, "msgpack");
        assert_eq!(decode::<V>(&sealed(&encoded, Format::MsgPack), None).unwrap(), value);
    }
    through(String::from("x"));
    through(Some(Arc::<str>::from("x")));
    through(vec![1u8, 255]);
    through(Some(Bytes::from_static(b"x")));
    assert!(
        encode(&1u8, Some(&Format::Text), None).is_err()
            && encode(&"x".to_owned(), Some(&Format::Bytes), None).is_err()
    );
    let empty = round(String::new());
    let damaged = Sealed { payload: &b"\xff"[..], ..sealed(&empty, Format::Text) };
    assert_eq!(decode::<String>(&damaged, None).unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(decode::<u8>(&damaged, None).unwrap_err().kind(), ErrorKind::Codec);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Blob {
    name: String,
    data: Vec<u8>,
}

#[test]
fn bytes_inside_a_value_are_written_as_bytes_and_read_in_both_forms() {
    let blob = Blob { name: "x".into(), data: (0..=255).collect() };
    let old = rmp_serde::to_vec_named(&blob).unwrap();
    let encoded = round(blob);
    assert!(encoded.payload.len() < 280 && old.len() > 380, "{} {}", encoded.payload.len(), old.len());
    let old = Encoded { payload: old, ..encoded };
    assert_eq!(decode::<Blob>(&sealed(&old, Format::MsgPack), None).unwrap().data.len(), 256);
    round(BTreeMap::from([(vec![1u8, 200], BTreeSet::from([3u8, 4]))]));
    round((vec![Some(7u8), None], [1u8; 4], vec![vec![0u8]]));
}

#[test]
fn what_is_buffered_before_it_is_read_comes_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Message {
        Blob { data: Vec<u8>, also: Bytes },
        Other(Blob),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        blob: Blob,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Float(f64),
        Bytes(Vec<u8>),
    }
    let blob = || Blob { name: "x".into(), data: vec![1, 200] };
    round(Message::Blob { data: vec![0, 255], also: Bytes::from_static(b"y") });
    round(Message::Other(blob()));
    round(Flat { id: 1, blob: blob() });
    round(vec![Either::Number(-1), Either::Float(0.5), Either::Bytes(vec![1, 2])]);
}

#[test]
fn a_value_that_would_come_back_as_another_is_refused() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Float(f64),
        Number(i64),
    }
    round(Either::Float(5.5));
    assert!(refused(Either::Number(5)).contains("would come back as another"));
}

/// A node with nodes inside.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node(Vec<Node>);

fn nested(depth: usize) -> Node {
    (0..depth).fold(Node::default(), |inner, _| Node(vec![inner]))
}

#[test]
fn depth_has_a_limit() {
    let deepest = (1..200).rev().find(|depth| encode(&nested(*depth), None, None).is_ok()).unwrap();
    assert!(deepest > 50, "{deepest}");
    round(nested(deepest));
    assert!(refused(nested(deepest + 1)).contains("nested deeper"));
    // A payload made by hand is not subject to the limit on writing.
    for depth in [200, 5_000_000] {
        let mut payload = vec![0x91; depth];
        payload.push(0x90);
        let hostile = Encoded { serializer: "msgpack", fingerprint: 0, option_tag: OptionTag::Plain, payload };
        assert!(decode::<Node>(&sealed(&hostile, Format::MsgPack), None).is_err());
    }
}

#[test]
fn lengths_are_not_believed() {
    // Four billion strings, bytes, entries.
    for payload in
        [&b"\xdd\xff\xff\xff\xff"[..], b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
    {
        let payload = payload.to_vec();
        let hostile = Encoded { serializer: "msgpack", fingerprint: 0, option_tag: OptionTag::Plain, payload };
        let hostile = sealed(&hostile, Format::MsgPack);
        assert!(decode::<Vec<String>>(&hostile, None).is_err());
        assert!(decode::<String>(&hostile, None).is_err());
        assert!(decode::<Vec<u8>>(&hostile, None).is_err());
        assert!(decode::<BTreeMap<u64, u64>>(&hostile, None).is_err());
    }
}
