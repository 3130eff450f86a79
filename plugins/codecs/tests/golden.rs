//! Payloads that were written once have to be read for ever. T-128

use std::collections::BTreeMap;

use retainit_codecs::{Json, Postcard};
use retainit_plugin::{ErrorKind, Serializer, erased_serde};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    none: Option<bool>,
    floats: (f64, f32),
    keys: BTreeMap<i32, Kind>,
    wide: (i128, u128),
    unit: (),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(char),
    Struct { bytes: Vec<u8> },
}

fn record() -> Record {
    Record {
        id: u64::MAX,
        name: "grüße".into(),
        none: None,
        floats: (0.1 + 0.2, -0.0),
        keys: BTreeMap::from([(-1, Kind::Unit), (0, Kind::Newtype('ü')), (7, Kind::Struct { bytes: vec![0, 255] })]),
        wide: (i128::MIN, u128::MAX),
        unit: (),
    }
}

fn write(serializer: &dyn Serializer, value: &dyn erased_serde::Serialize) -> Vec<u8> {
    let mut out = b"before".to_vec();
    serializer.serialize(value, &mut out).expect("it holds such values");
    assert!(out.starts_with(b"before"), "it appends");
    out.split_off(6)
}

fn read<V: for<'de> Deserialize<'de>>(serializer: &dyn Serializer, bytes: &[u8]) -> Result<V, ErrorKind> {
    let mut value = None;
    let read = serializer.deserialize(bytes, &mut |input: &mut dyn erased_serde::Deserializer<'_>| {
        value = Some(erased_serde::deserialize(input)?);
        Ok(())
    });
    read.map(|()| value.expect("it has read one")).map_err(|error| error.kind())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn json_is_golden() {
    let golden = include_str!("golden/record.json").trim_end();
    assert_eq!(String::from_utf8(write(&Json, &record())).unwrap(), golden);
    assert_eq!(read(&Json, golden.as_bytes()), Ok(record()));
}

#[test]
fn postcard_is_golden() {
    let golden = include_str!("golden/record.postcard.hex").trim_end();
    let bytes = write(&Postcard, &record());
    assert_eq!(hex(&bytes), golden);
    assert_eq!(read(&Postcard, &bytes), Ok(record()));
}

#[test]
fn what_is_cut_short_or_left_over_is_an_error() {
    for serializer in [&Json as &dyn Serializer, &Postcard] {
        let mut bytes = write(serializer, &record());
        for end in 0..bytes.len() {
            assert_eq!(read::<Record>(serializer, &bytes[..end]), Err(ErrorKind::Codec), "{serializer:?} {end}");
        }
        bytes.push(b'1');
        assert_eq!(read::<Record>(serializer, &bytes), Err(ErrorKind::Codec), "{serializer:?}");
    }
}
