// T-128: envelopes.

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::engine::{Death, Verdict};

fn full<'a>() -> Envelope<'a> {
    Envelope {
        option_tag: OptionTag::Some,
        created: 1_767_225_600_000,
        load_time: Duration::from_micros(12_345),
        fresh_for: Some(Duration::from_secs(300)),
        stale_for: Duration::from_secs(30),
        grace_for: Duration::from_secs(600),
        epoch: 7,
        groups: smallvec![
            (b"r1:e:default:-:-".as_slice(), GroupVersion { hard: 1 << 51, soft: 0 }),
            (b"r1:t:default:-:user".as_slice(), GroupVersion { hard: 300, soft: 2 }),
        ],
        ..Envelope::new(OptionTag::Some, SystemTime::UNIX_EPOCH, "msgpack", b"payload")
    }
}

const MAX: u64 = 1 << 20;

fn decode(bytes: &[u8]) -> Result<Envelope<'_>, Fault> {
    Envelope::decode(bytes, false, MAX)
}

/// Compares with the golden file of wire version 1, which later versions have to read.
#[test]
fn wire_version_1_is_golden() {
    let golden = include_str!("../../../tests/golden/envelope-v1.hex");
    let golden: String = golden.split_whitespace().collect();
    let encoded = full().encode();
    let shown: String = encoded.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown, golden);
    assert_eq!(decode(&encoded).unwrap(), full());
}

#[test]
fn a_newer_program_is_distinct_from_damage() {
    let mut newer = full().encode().to_vec();
    newer[2] = 2;
    assert!(matches!(decode(&newer), Err(Fault::Unknown(_))));
    let other = Envelope { compressor: "zstd", ..full() };
    assert!(matches!(decode(&other.encode()), Err(Fault::Unknown(_))));
    assert!(matches!(decode(b"RI"), Err(Fault::Damaged(_))));
    assert!(matches!(decode(b"something else"), Err(Fault::Damaged(_))));
    let mut changed = full().encode().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(decode(&changed), Err(Fault::Tampered(_))));
}

// T-99
#[test]
fn a_payload_above_the_limit_is_refused() {
    let encoded = full().encode();
    assert!(Envelope::decode(&encoded, false, 7).is_ok());
    let Err(Fault::Security(error)) = Envelope::decode(&encoded, false, 6) else { panic!("7 bytes are more than 6") };
    assert!(error.to_string().contains("`max_value`"), "{error}");
}

/// Returns a header that ends before its groups.
fn cut_before_groups(groups: &[u8]) -> Vec<u8> {
    let mut header = b"RI\x01\x00".to_vec();
    header.extend([1, 1, 1, 1, 1, 1]);
    header.extend(groups);
    header
}

#[test]
fn more_groups_than_an_entry_may_have_are_refused_before_any_is_read() {
    // 257, 40 000 and all there could be, with nothing behind them.
    for count in [&[0x81, 2][..], &[0xc0, 0xb8, 2], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]] {
        assert!(matches!(decode(&cut_before_groups(count)), Err(Fault::Security(_))), "{count:?}");
    }
    assert!(matches!(decode(&cut_before_groups(&[0x80, 2])), Err(Fault::Damaged(_))), "256 are not there either");
}

#[test]
fn what_may_be_written_can_be_read() {
    let group = |len: usize| Group::new("x".repeat(len));
    let most = MOST_HEADER - NOT_GROUPS;
    for groups in [vec![group(most - GROUP)], (0..256).map(|_| group(most / 256 - GROUP)).collect()] {
        check_groups(&groups).expect("they fit");
        let version = GroupVersion { hard: u64::MAX, soft: u64::MAX };
        let groups = groups.iter().map(|group| (group.as_str().as_bytes(), version)).collect();
        assert_eq!(decode(&Envelope { groups, ..full() }.encode()).unwrap().created, full().created);
    }
    assert!(check_groups(&[group(most)]).is_err());
    assert!(check_groups(&vec![group(1); 257]).is_err());
    let long = "x".repeat(MOST_HEADER);
    assert!(matches!(decode(&Envelope { etag: &long, ..full() }.encode()), Err(Fault::Security(_))));
}

#[test]
fn an_envelope_is_judged_by_the_wall_clock() {
    let at = |millis: i64| SystemTime::UNIX_EPOCH + Duration::from_millis(full().created.saturating_add_signed(millis));
    let verdict = |envelope: &Envelope<'_>, wall| envelope.timeline().at(wall_moment(wall));
    assert_eq!((full().age(at(10)), full().age(at(-10))), (Duration::from_millis(10), Duration::ZERO));
    let envelope = Envelope {
        fresh_for: Some(Duration::from_millis(10)),
        stale_for: Duration::from_millis(5),
        grace_for: Duration::from_millis(5),
        ..full()
    };
    assert_eq!(verdict(&envelope, at(9)), Verdict::Fresh);
    assert_eq!(verdict(&envelope, at(10)), Verdict::Stale);
    assert_eq!(verdict(&envelope, at(15)), Verdict::Grace);
    assert_eq!(verdict(&envelope, at(20)), Verdict::Dead(Death::Expired));
    assert_eq!(verdict(&envelope, at(-5_000)), Verdict::Fresh);
    assert_eq!(verdict(&envelope, at(-5_001)), Verdict::Dead(Death::FromTheFuture));
    assert_eq!(verdict(&Envelope { fresh_for: None, ..full() }, at(i64::MAX >> 20)), Verdict::Fresh);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Changes any byte: the reader notices each change and does not panic.
    #[test]
    fn a_changed_envelope_is_never_taken_for_another(at in 0usize..200, with in 1u8.., cut in 0usize..200) {
        let mut bytes = full().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= with;
        prop_assert!(decode(&bytes).is_err());
        let whole = full().encode();
        let cut = cut % whole.len();
        prop_assert!(decode(&whole[..cut]).is_err());
    }

    #[test]
    fn noise_is_no_envelope(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = b"RI\x01\x00".to_vec();
        bytes.extend(noise);
        prop_assert!(decode(&bytes).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Encodes and decodes any header.
    #[test]
    fn an_envelope_comes_back(
        numbers in any::<[u64; 6]>(),
        groups in proptest::collection::vec((".{0,20}", any::<(u64, u64)>()), 0..4),
        texts in any::<[String; 2]>(),
        digest in proptest::collection::vec(any::<u8>(), 0..40),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let millis = |number: u64| Duration::from_millis(number >> 1);
        let encoded;
        let envelope = Envelope {
            created: numbers[0],
            load_time: Duration::from_micros(numbers[1]),
            fresh_for: (numbers[2] % 2 == 0).then(|| millis(numbers[2])),
            stale_for: millis(numbers[3]),
            grace_for: millis(numbers[4]),
            epoch: numbers[5],
            groups: groups.iter().map(|(name, (hard, soft))| (name.as_bytes(), GroupVersion { hard: *hard, soft: *soft })).collect(),
            fingerprint: numbers[0] ^ numbers[5],
            etag: &texts[0],
            args_digest: &digest,
            ..Envelope::new(OptionTag::Plain, SystemTime::UNIX_EPOCH, &texts[1], &payload)
        };
        encoded = envelope.encode();
        prop_assert_eq!(decode(&encoded).unwrap(), envelope);
    }
}
