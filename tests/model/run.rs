//! Runs many cases, and reports one that fails.

use std::time::Instant;

use crate::backends::{Kind, Plant};
use crate::case::Case;
use crate::world::Random;

/// Parameters of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) plant: Plant,
    /// Set if the backend fails at times.
    pub(crate) faults: bool,
    /// Set for sync operations on one key, each on a thread of its own: in memory only those stop.
    pub(crate) narrow: bool,
}

/// A case that failed.
struct Failure {
    complaint: String,
    log: String,
}

fn run(settings: Settings, seed: u64, steps: u64) -> Option<Failure> {
    let mut case = Case::new(settings, seed);
    case.run(steps);
    case.world.violation().map(|complaint| Failure { complaint, log: case.world.log() })
}

/// Returns the number of steps of a case: short ones and long ones.
fn steps(seed: u64) -> u64 {
    5 + Random(seed ^ 0x5eed).below(75)
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// Runs cases, of which none may fail.
pub(crate) fn healthy(settings: Settings, cases: u64) {
    let cases = cases * from_environment("MODEL_TEST_CASES", 1);
    let first = from_environment("MODEL_TEST_SEED", 1);
    let began = now();
    for seed in first..first + cases {
        if let Some(failure) = run(settings, seed, steps(seed)) {
            panic!("{}", told(settings, seed, failure));
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!("{settings:?}: {cases} cases, {:.0} a second", cases as f64 / took);
}

/// Runs cases until one fails, which has to happen.
pub(crate) fn search(settings: Settings, cases: u64) {
    let found = (1..=cases).find_map(|seed| Some((seed, run(settings, seed, steps(seed))?)));
    let Some((seed, failure)) = found else { panic!("{settings:?} was not found in {cases} cases") };
    println!("{settings:?} was found in case {seed}: {}", failure.complaint);
}

/// Describes the shortest run of a seed that fails.
fn told(settings: Settings, seed: u64, failure: Failure) -> String {
    let shortest = (1..steps(seed)).find_map(|steps| run(settings, seed, steps));
    let Failure { complaint, log } = shortest.unwrap_or(failure);
    format!("{settings:?}, seed {seed}: {complaint}\n{log}")
}

#[expect(clippy::disallowed_methods, reason = "how fast the cases are, not time as the cache sees it")]
fn now() -> Instant {
    Instant::now()
}
