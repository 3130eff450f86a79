//! The shape of a type, asked of its `Deserialize` with made-up values: names of fields and variants, kinds of
//! primitives, lengths of tuples. Names of structs are not part of it.
//!
//! One run sees one variant of each enum, and ends where a visitor refuses what it is given (a date does not begin as
//! `""`). So runs are repeated, each with another choice at the place where the last one ended, until nothing new is
//! to be seen or the bounds are reached. What was seen is kept by place; the runs add up.

mod look;

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use parking_lot::Mutex;
use retainit_plugin::{ErrorKind, caught};
use serde::de::{DeserializeOwned, Error as _};

use look::Look;

type Failed = serde::de::value::Error;

/// What is known of a type's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Never zero.
    pub(crate) fingerprint: u64,
    /// It asks the format what comes next: untagged enums, flattened fields, `serde_json::Value`.
    pub(crate) asks: bool,
    /// The bounds ended the look at it.
    pub(crate) cut: bool,
}

/// No more runs than this; a type of hundreds of variants is seen in part.
const MAX_RUNS: usize = 512;
/// No more places than this in all runs together.
const MAX_STEPS: usize = 50_000;
/// How deep places may lie.
const MAX_DEPTH: usize = 48;
/// How often one struct or enum may stand inside itself.
const MAX_REPEATS: usize = 2;

/// The shape of `V`, looked at once per type.
pub(crate) fn shape<V: DeserializeOwned>() -> Shape {
    static SHAPES: OnceLock<Mutex<HashMap<TypeId, Shape>>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(Mutex::default);
    let of = typeid::of::<V>();
    if let Some(shape) = shapes.lock().get(&of) {
        return *shape;
    }
    // Outside the lock: a `Deserialize` may do anything.
    let shape = look_at::<V>();
    *shapes.lock().entry(of).or_insert(shape)
}

fn look_at<V: DeserializeOwned>() -> Shape {
    let mut seen = Seen::default();
    for _ in 0..MAX_RUNS {
        seen.begin();
        let run = caught(ErrorKind::Codec, "reading a made-up value", || {
            V::deserialize(Look { seen: &mut seen, at: Place::default() })
        });
        match run {
            Ok(Ok(_)) if !seen.more => return seen.shape(false),
            Ok(Err(_)) if !seen.more && !seen.moved => return seen.shape(false),
            Ok(_) if seen.steps < MAX_STEPS => {}
            Ok(_) | Err(_) => break,
        }
    }
    seen.shape(true)
}

/// The way to a part of a value: numbers of fields, elements and variants.
type Place = Vec<u16>;

#[derive(Debug, Default)]
struct Seen {
    tokens: BTreeMap<Place, String>,
    /// How many made-up values a primitive has refused.
    refused: BTreeMap<Place, usize>,
    /// Parts that cannot be made up.
    dead: BTreeSet<Place>,
    /// Variants that were made up.
    done: BTreeSet<Place>,
    /// A field whose name was given and whose value was not asked for.
    named: Option<Place>,
    /// The structs and enums around the present place.
    around: Vec<String>,
    asks: bool,
    /// This run has changed what the next one does.
    moved: bool,
    /// There are variants left for another run.
    more: bool,
    steps: usize,
}

impl Seen {
    fn begin(&mut self) {
        (self.moved, self.more) = (false, false);
        self.around.clear();
    }

    fn shape(&self, cut: bool) -> Shape {
        let mut hasher = blake3::Hasher::new();
        for (place, token) in &self.tokens {
            for part in place {
                hasher.update(&part.to_le_bytes());
            }
            hasher.update(b"=");
            hasher.update(token.as_bytes());
            hasher.update(b"\n");
        }
        let first = hasher.finalize();
        let first = first.as_bytes().first_chunk::<8>().expect("a digest has 32 bytes");
        Shape { fingerprint: u64::from_le_bytes(*first).max(1), asks: self.asks, cut }
    }

    fn token(&mut self, at: &Place, token: impl Into<String>) -> Result<(), Failed> {
        self.steps += 1;
        if self.steps > MAX_STEPS || at.len() > MAX_DEPTH {
            return Err(Failed::custom("far enough"));
        }
        self.tokens.entry(at.clone()).or_insert_with(|| token.into());
        Ok(())
    }

    /// Notes that a part failed, if that is why the run ends.
    fn give_up<T>(&mut self, part: &Place, result: Result<T, Failed>) -> Result<T, Failed> {
        if result.is_err() && !self.moved {
            self.moved = self.dead.insert(part.clone());
        }
        result
    }

    /// Goes into a struct or enum, unless it stands inside itself too often.
    fn enter<T>(&mut self, name: String, inside: impl FnOnce(&mut Seen) -> Result<T, Failed>) -> Result<T, Failed> {
        if self.around.iter().filter(|around| **around == name).count() > MAX_REPEATS {
            return Err(Failed::custom("it repeats itself"));
        }
        self.around.push(name);
        let result = inside(self);
        self.around.pop();
        result
    }
}

fn below(at: &Place, part: usize) -> Place {
    let mut below = at.clone();
    below.push(u16::try_from(part).unwrap_or(u16::MAX));
    below
}

#[cfg(test)]
mod tests;
