//! Entries that are not as they were written, through the whole path of a read.

use std::collections::BTreeMap;
use std::fmt::Debug;

use retainit::{Cache, Lookup, Retainit};
use retainit_plugin::Bytes;
use retainit_testkit::{ByteConfig, ByteStore};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::mutate::mutate;
use crate::runner::{Random, run};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    tags: Vec<Option<String>>,
    blob: Vec<u8>,
    scores: BTreeMap<i32, f64>,
    tree: Tree,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i128),
    Pair(Box<Tree>, Box<Tree>),
    Named { name: char, of: Vec<Tree> },
}

fn record() -> Record {
    let leaf = Box::new(Tree::Leaf);
    Record {
        id: 1 << 40,
        name: "grüße".into(),
        tags: vec![None, Some("x".into())],
        blob: (0..40).collect(),
        scores: BTreeMap::from([(-1, 0.5), (7, -0.0)]),
        tree: Tree::Pair(leaf.clone(), Box::new(Tree::Named { name: 'ü', of: vec![Tree::Number(-1), Tree::Leaf] })),
    }
}

/// A value in a store, its entry as it was written, and how to read it back.
struct Sample {
    store: ByteStore,
    key: String,
    entry: Vec<u8>,
    /// Offset of the checksum.
    checksum: usize,
    /// Reads the entry: `None` if it is not found, otherwise whether it is the value that was written.
    read: Box<dyn Fn() -> Option<bool>>,
}

impl Sample {
    fn new<V>(serializer: &str, value: V) -> Sample
    where
        V: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static,
    {
        let store = ByteStore::new();
        let config = ByteConfig::on(&store).blocking();
        let instance = Retainit::builder().register_backend("bytes", config).build().unwrap();
        let cache: Cache<V> = instance.cache("c").serializer(serializer).tags(["a tag"]).build().unwrap();
        cache.blocking().set(&1, value.clone()).unwrap();
        let key = store.keys().remove(0);
        let entry = store.entry(&key).unwrap().to_vec();
        let checksum = (0..entry.len() - 8).find(|at| entry[*at..*at + 8] == sum(&entry, *at)).unwrap();
        let read = move || match cache.blocking().get(&1).unwrap() {
            Lookup::Hit { value: found, .. } => Some(found == value),
            Lookup::Miss => None,
        };
        Sample { store, key, entry, checksum, read: Box::new(read) }
    }

    fn all() -> Vec<Sample> {
        let mut samples = vec![
            Sample::new("auto", "text".to_owned()),
            Sample::new("auto", Some(vec![1u8, 2, 3])),
            Sample::new("msgpack", Some(None::<u8>)),
            Sample::new("json", serde_json::json!({"a": [1, null, "x"], "b": {"c": 1.5}})),
        ];
        for serializer in ["msgpack", "json", "postcard"] {
            samples.push(Sample::new(serializer, record()));
            samples.push(Sample::new(serializer, Some(record())));
            samples.push(Sample::new(serializer, vec![((), 1u8); 3]));
        }
        samples
    }

    fn read(&self, entry: Vec<u8>) -> Option<bool> {
        self.store.put(self.key.clone(), Bytes::from(entry));
        (self.read)()
    }
}

/// Computes the checksum of an entry that has it at `at`.
fn sum(entry: &[u8], at: usize) -> [u8; 8] {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&entry[at + 8..]), &entry[..at]).to_le_bytes()
}

/// Returns the envelope of the golden file.
fn golden() -> Vec<u8> {
    let hex: String = include_str!("../../core/tests/golden/envelope-v1.hex").split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Checks that a changed entry is a miss, never another value.
fn damage(samples: &[Sample], others: &[&[u8]], random: &mut Random) {
    let sample = &samples[random.below(samples.len())];
    let mut entry = if random.one_in(8) { golden() } else { sample.entry.clone() };
    mutate(&mut entry, random, others);
    let unchanged = others.contains(&entry.as_slice());
    let found = sample.read(entry);
    assert!(unchanged || found.is_none(), "a changed entry was served");
}

/// Gives changed bytes a checksum of their own, so that they reach the decoders, which return a value of the type or an
/// error.
fn forgery(samples: &[Sample], others: &[&[u8]], random: &mut Random) {
    let sample = &samples[random.below(samples.len())];
    let at = sample.checksum;
    let (mut header, mut payload) = (sample.entry[..at].to_vec(), sample.entry[at + 8..].to_vec());
    if random.one_in(3) {
        mutate(&mut header, random, others);
    }
    if random.one_in(8) {
        let other = &samples[random.below(samples.len())];
        payload = other.entry[other.checksum + 8..].to_vec();
    }
    mutate(&mut payload, random, others);
    let at = header.len();
    let mut entry = [header, vec![0; 8], payload].concat();
    let sum = sum(&entry, at);
    entry[at..at + 8].copy_from_slice(&sum);
    sample.read(entry);
}

// T-128, T-131
#[test]
fn mutated_envelopes_are_misses() {
    let samples = Sample::all();
    let golden = golden();
    let others: Vec<&[u8]> = samples.iter().map(|sample| &*sample.entry).chain([&*golden]).collect();
    for sample in &samples {
        assert_eq!(sample.read(sample.entry.clone()), Some(true), "as it was written, it is found");
    }
    run(100_000, |random| match random.one_in(2) {
        true => damage(&samples, &others, random),
        false => forgery(&samples, &others, random),
    });
}
