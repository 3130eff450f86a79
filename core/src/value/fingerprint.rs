//! Schema of a type, traced by running its `Deserialize` on made-up values: names of fields and variants, kinds of
//! primitives, lengths of tuples. Names of structs are not part of it.
//!
//! One run sees one variant of each enum, and ends where a visitor refuses its value (a date does not begin as `""`).
//! So runs are repeated, each with another choice at the place where the last one ended, until there is nothing new to
//! see or the limits are reached. Observations are recorded by place; the runs add up.

mod tracer;

use std::any::TypeId;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{ErrorKind, PerProcess, caught};
use serde::de::{DeserializeOwned, Error as _};

use tracer::SchemaTracer;

/// Refusal of a made-up value. It is counted even where a `Deserialize` turns it into a value.
#[derive(Debug)]
struct Failed {
    text: String,
    /// True if a field was there twice.
    is_repeated: bool,
}

thread_local! {
    /// Number of errors in the present run.
    static FAILURES: Cell<usize> = const { Cell::new(0) };
}

impl serde::de::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Failed {
        FAILURES.set(FAILURES.get() + 1);
        Failed { text: message.to_string(), is_repeated: false }
    }

    fn duplicate_field(field: &'static str) -> Failed {
        Failed { is_repeated: true, ..Failed::custom(format_args!("duplicate field `{field}`")) }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failed {}

/// Schema of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeSchema {
    /// Fingerprint of names, kinds and lengths; never zero.
    pub(crate) fingerprint: u64,
    /// True if it asks the format for the next kind: untagged enums, flattened fields, `serde_json::Value`.
    pub(crate) needs_self_describing: bool,
    /// True if a limit ended the tracing.
    pub(crate) cut: bool,
    /// True if no value could be made up for some part, or an error was taken for a value: the fingerprint does not
    /// cover that part and what is behind it.
    pub(crate) unseen: bool,
    /// Structs and tuples of the type, sorted by name.
    pub(crate) compounds: &'static [Compound],
}

/// A struct or tuple struct as its `Deserialize` asks for it, or one variant of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compound {
    /// Name of the type, and that of the variant; the latter is empty for a struct.
    pub(crate) name: (&'static str, &'static str),
    /// Number of fields; `None` where several types of one name have different numbers.
    pub(crate) len: Option<usize>,
}

/// Limit on the runs; a type of thousands of variants is seen in part.
const MAX_RUNS: usize = 2_048;
/// Limit on the places of all runs together.
const MAX_STEPS: usize = 100_000;
/// Limit on the depth of places.
const MAX_DEPTH: usize = 48;
/// Limit on the nesting of one struct or enum inside itself. One level shows everything behind it: a finite value has
/// an inner one without a further one inside, if there is any finite value.
const MAX_REPEATS: usize = 1;

/// Returns the schema of `V`, traced once per type.
pub(crate) fn shape<V: DeserializeOwned>() -> TypeSchema {
    static SHAPES: PerProcess<Mutex<HashMap<TypeId, TypeSchema>>> = PerProcess::new(Mutex::default);
    let shapes = SHAPES.get();
    let of = typeid::of::<V>();
    if let Some(shape) = shapes.lock().get(&of) {
        return *shape;
    }
    // Outside the lock: a `Deserialize` may do anything. The leak is bounded by the number of types.
    let shape = trace::<V>();
    *shapes.lock().entry(of).or_insert(shape)
}

fn trace<V: DeserializeOwned>() -> TypeSchema {
    let mut seen = TraceState::default();
    // Each run has made a different choice, a value or a variant, than the ones before. It is the last when it has made
    // none and left none.
    for _ in 0..MAX_RUNS {
        seen.begin();
        let run = caught(ErrorKind::Codec, "reading a made-up value", || {
            V::deserialize(SchemaTracer { seen: &mut seen, at: TypePath::default() })
        });
        // A type that has taken an error for a value may read the rest as something else.
        let run = run.map(|made| made.and_then(|_| if FAILURES.get() == 0 { Ok(()) } else { Err(swallowed()) }));
        match run.map(|made| seen.give_up(&TypePath::default(), made)) {
            Ok(_) if (seen.more || seen.moved) && seen.steps < MAX_STEPS => {}
            Ok(made) if !seen.more && !seen.moved => {
                seen.unseen |= made.is_err();
                return seen.shape(false);
            }
            Ok(_) | Err(_) => break,
        }
    }
    seen.shape(true)
}

#[cold]
fn swallowed() -> Failed {
    Failed::custom("an error was taken for a value")
}

/// Path to a part of a value: numbers of fields, elements and variants.
type TypePath = Vec<u16>;

#[derive(Debug, Default)]
struct TraceState {
    tokens: BTreeMap<TypePath, String>,
    /// Number of made-up values that a primitive has refused.
    refused: BTreeMap<TypePath, usize>,
    /// Last primitive that took its value at once, with the number of values there are for it.
    accepted: Option<(TypePath, usize)>,
    /// Parts for which no value can be made up.
    dead: BTreeSet<TypePath>,
    /// True if a dead part is more than a type inside itself, whose content was traced at the outer place.
    unseen: bool,
    /// True if this run has ended in a type inside itself.
    repeats: bool,
    /// Variants that were made up, with all enums inside.
    done: BTreeSet<TypePath>,
    /// Field whose name was given and whose value was not asked for.
    named: Option<TypePath>,
    /// Structs and enums around the present place.
    around: Vec<String>,
    needs_self_describing: bool,
    compounds: BTreeMap<(&'static str, &'static str), Option<usize>>,
    /// True if this run has changed what the next one does.
    moved: bool,
    /// True if variants are left for another run.
    more: bool,
    steps: usize,
}

impl TraceState {
    fn begin(&mut self) {
        (self.moved, self.more, self.repeats) = (false, false, false);
        self.accepted = None;
        self.around.clear();
        FAILURES.set(0);
    }

    fn shape(&self, cut: bool) -> TypeSchema {
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
        TypeSchema {
            fingerprint: u64::from_le_bytes(*first).max(1),
            needs_self_describing: self.needs_self_describing,
            cut,
            unseen: self.unseen,
            compounds: Vec::leak(
                self.compounds.iter().map(|(name, len)| Compound { name: *name, len: *len }).collect(),
            ),
        }
    }

    fn compound(&mut self, name: &'static str, variant: &'static str, len: usize) {
        let known = self.compounds.entry((name, variant)).or_insert(Some(len));
        *known = known.filter(|known| *known == len);
    }

    fn token(&mut self, at: &TypePath, token: impl Into<String>) -> Result<(), Failed> {
        self.steps += 1;
        if self.steps > MAX_STEPS || at.len() > MAX_DEPTH {
            return Err(Failed::custom("far enough"));
        }
        self.tokens.entry(at.clone()).or_insert_with(|| token.into());
        Ok(())
    }

    /// Records that a part failed. The innermost part does so first; the ones around it leave the result as it is.
    fn give_up<T>(&mut self, part: &TypePath, result: Result<T, Failed>) -> Result<T, Failed> {
        if result.is_ok() || self.moved {
            return result;
        }
        // A type may check a value after it was taken, as `try_from` does: the last value in the part is replaced by
        // the next before the part is given up. Types inside themselves would fail with every value.
        if let Some((at, values)) = self.accepted.take().filter(|(at, _)| at.starts_with(part) && !self.repeats) {
            let refused = self.refused.entry(at).or_default();
            if *refused + 1 < values {
                *refused += 1;
                self.moved = true;
                return result;
            }
        }
        self.moved = self.dead.insert(part.clone());
        self.unseen |= self.moved && !self.repeats;
        result
    }

    /// Enters a struct, enum or newtype, unless it is inside itself too often. Types are identified by their visitors:
    /// two types with equal fields are different.
    fn enter<T>(
        &mut self,
        name: String,
        inside: impl FnOnce(&mut TraceState) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        if self.around.iter().filter(|around| **around == name).count() > MAX_REPEATS {
            self.repeats = true;
            return Err(Failed::custom("it repeats itself"));
        }
        self.around.push(name);
        let result = inside(self);
        self.around.pop();
        result
    }
}

fn below(at: &TypePath, part: usize) -> TypePath {
    let mut below = at.clone();
    below.push(u16::try_from(part).unwrap_or(u16::MAX));
    below
}

#[cfg(test)]
mod tests;
