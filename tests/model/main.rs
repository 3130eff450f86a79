//! Invalidation against a model: random operations that stop anywhere, driven by hand from a seed.
//!
//! What is held against every answer: **a value that was loaded or set before an acknowledged invalidation which covers
//! it is never returned by an operation that began after that acknowledgement**, and a `set` is an invalidation of what
//! was loaded before it. In memory no load may run for a key whose entry was there when it took its fence either. A case that fails is run again with fewer steps and printed as the list of what happened.
//!
//! `MODEL_TEST_CASES=20` runs twenty times as many cases, `MODEL_TEST_SEED=7` begins at another seed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod backends;
mod case;
mod found;
mod needless;
mod operations;
mod perform;
mod run;
mod stress;
mod world;

use backends::{Kind, Plant};
use run::{Settings, healthy, search};

fn settings(kind: Kind, plant: Plant) -> Settings {
    Settings { kind, plant, faults: false, narrow: false }
}

// T-43, T-129
#[test]
fn in_memory_no_answer_is_older_than_an_invalidation() {
    healthy(settings(Kind::Memory("default"), Plant::None), 2_500);
    healthy(settings(Kind::Memory("lru"), Plant::None), 1_500);
    healthy(Settings { narrow: true, ..settings(Kind::Memory("default"), Plant::None) }, 300);
}

// T-44, T-129
#[test]
fn in_a_byte_store_no_answer_is_older_than_an_invalidation() {
    healthy(settings(Kind::Bytes, Plant::None), 500);
    healthy(settings(Kind::Local, Plant::None), 400);
    healthy(settings(Kind::LocalWithoutCancellation, Plant::None), 200);
}

// T-44, T-135
#[test]
fn in_a_byte_store_with_faults_no_answer_is_older_than_an_invalidation() {
    healthy(Settings { faults: true, ..settings(Kind::Bytes, Plant::None) }, 700);
    healthy(Settings { faults: true, ..settings(Kind::Local, Plant::None) }, 400);
}

/// A model that finds nothing proves nothing: each of these backends breaks the promise in one place.
// T-129
#[test]
fn the_model_finds_what_is_planted() {
    for plant in [Plant::IgnoresFences, Plant::RemoveKeepsFence, Plant::SetKeepsFence, Plant::BreaksNoFences] {
        for policy in ["default", "lru"] {
            search(settings(Kind::Memory(policy), plant), 10_000);
        }
    }
    let counts_late = settings(Kind::Memory("default"), Plant::CountsLate);
    search(Settings { narrow: true, ..counts_late }, 10_000);
    search(settings(Kind::Local, Plant::DeafToCancellation), 10_000);
    for plant in [Plant::AbsenceIsAFence, Plant::TakesAfterTheLoad, Plant::BeginsBeforeTheTake] {
        search(settings(Kind::Bytes, plant), 10_000);
    }
    for kind in [Kind::Bytes, Kind::Local] {
        for plant in [Plant::IgnoresFences, Plant::RaisesNothing] {
            search(settings(kind, plant), 10_000);
        }
    }
}
