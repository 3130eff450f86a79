// T-128: envelopes.

use proptest::prelude::*;

use super::*;

fn full() -> Envelope {
    Envelope {
        outermost: Outermost::Some,
        created: 1_767_225_600_000,
        load_time: Duration::from_micros(12_345),
        fresh_for: Some(Duration::from_secs(300)),
        stale_for: Duration::from_secs(30),
        grace_for: Duration::from_secs(600),
        generation: 7,
        groups: vec![
            ("r1:e:default:-:-".to_owned(), Version { hard: 1 << 51, soft: 0 }),
            ("r1:t:default:-:user".to_owned(), Version { hard: 300, soft: 2 }),
        ],
        ..Envelope::new(Outermost::Some, SystemTime::UNIX_EPOCH, b"payload".to_vec())
    }
}

/// The golden file of wire version 1: what was written once has to be read for ever.
#[test]
fn wire_version_1_is_golden() {
    let golden = include_str!("../../../tests/golden/envelope-v1.hex");
    let golden: String = golden.split_whitespace().collect();
    let encoded: String = full().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(encoded, golden);
    assert_eq!(Envelope::decode(&full().encode()).unwrap(), full());
}

#[test]
fn a_newer_program_is_told_from_damage() {
    let mut newer = full().encode().to_vec();
    newer[2] = 2;
    assert_eq!(Envelope::decode(&newer).unwrap_err().kind(), ErrorKind::Unsupported);
    let other = Envelope { serializer: "cbor".into(), ..full() };
    assert_eq!(Envelope::decode(&other.encode()).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(Envelope::decode(b"RI").unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(Envelope::decode(b"something else").unwrap_err().kind(), ErrorKind::Codec);
}

#[test]
fn an_entry_from_the_future_has_no_age() {
    let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    assert_eq!(full().age(at(full().created + 10)), Some(Duration::from_millis(10)));
    assert_eq!(full().age(at(full().created - 5_000)), Some(Duration::ZERO));
    assert_eq!(full().age(at(full().created - 5_001)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any change of any byte is noticed, and none makes the reader panic.
    #[test]
    fn a_changed_envelope_is_never_taken_for_another(at in 0usize..200, with in 1u8.., cut in 0usize..200) {
        let mut bytes = full().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= with;
        prop_assert!(Envelope::decode(&bytes).is_err());
        let whole = full().encode();
        let cut = cut % whole.len();
        prop_assert!(Envelope::decode(&whole[..cut]).is_err());
    }

    #[test]
    fn noise_is_no_envelope(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = b"RI\x01\x00".to_vec();
        bytes.extend(noise);
        prop_assert!(Envelope::decode(&bytes).is_err());
    }
}
