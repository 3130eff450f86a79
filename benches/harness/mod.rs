//! Rounds that alternate between contenders, so that other load of the machine affects all alike.

mod counting;
mod random;
mod table;
mod threads;

use std::future::Future;
use std::hint::black_box;
use std::time::Instant;

pub(crate) use counting::{Counting, allocations};
pub(crate) use random::{Random, Zipf};
pub(crate) use table::Table;
pub(crate) use threads::{Contender, two_threads};

/// Operations per timed chunk: enough to hide the clock, few enough that most chunks are never preempted.
const CHUNK: usize = 2_048;

/// Operations of one contender per round, unless it is a slow one.
pub(crate) const OPERATIONS: usize = 64 * CHUNK;
/// Number of operations for contenders that take microseconds.
pub(crate) const FEW: usize = 8 * CHUNK;

/// A contender: performs that many operations and returns the nanoseconds of the median one.
pub(crate) struct Case<'a> {
    name: &'static str,
    operations: usize,
    run: Box<dyn FnMut(usize) -> f64 + 'a>,
}

/// Measured times of one contender.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Median over the rounds, in nanoseconds per operation.
    pub(crate) nanos: f64,
    /// Median over the rounds of the ratio to the reference of the same round.
    pub(crate) ratio: f64,
    pub(crate) allocations: f64,
}

/// Contenders that are compared with one of them.
pub(crate) struct Group<'a> {
    cases: Vec<Case<'a>>,
    reference: usize,
}

impl<'a> Group<'a> {
    pub(crate) fn new() -> Group<'a> {
        Group { cases: Vec::new(), reference: 0 }
    }

    /// Adds the contender with which the others are compared.
    pub(crate) fn reference(self, name: &'static str, run: impl FnMut(usize) -> f64 + 'a) -> Group<'a> {
        let reference = self.cases.len();
        Group { reference, ..self.case(name, run) }
    }

    pub(crate) fn case(self, name: &'static str, run: impl FnMut(usize) -> f64 + 'a) -> Group<'a> {
        self.sized(name, OPERATIONS, run)
    }

    /// Adds a contender with its own number of operations per round.
    pub(crate) fn sized(
        mut self,
        name: &'static str,
        operations: usize,
        run: impl FnMut(usize) -> f64 + 'a,
    ) -> Group<'a> {
        self.cases.push(Case { name, operations, run: Box::new(run) });
        self
    }

    /// Runs each contender once per round, in an order that moves on with each, and adds to `series`. What comes
    /// before the first round counts allocations and warms up.
    pub(crate) fn measure(&mut self, rounds: usize, series: &mut Series) {
        series.cases.resize_with(self.cases.len(), OfCase::default);
        for (case, of) in self.cases.iter_mut().zip(&mut series.cases) {
            (of.name, of.allocations) = (case.name, allocations_of(case));
        }
        let count = self.cases.len();
        for round in 0..rounds {
            for turn in 0..count {
                let at = (turn + round) % count;
                let case = &mut self.cases[at];
                series.cases[at].nanos.push((case.run)(case.operations));
            }
        }
        series.reference = self.reference;
    }
}

/// All rounds of a group.
#[derive(Default)]
pub(crate) struct Series {
    cases: Vec<OfCase>,
    reference: usize,
}

#[derive(Default)]
struct OfCase {
    name: &'static str,
    nanos: Vec<f64>,
    allocations: f64,
}

impl Series {
    pub(crate) fn measured(&self) -> impl Iterator<Item = Measured> {
        let reference = &self.cases[self.reference].nanos;
        self.cases.iter().map(move |OfCase { name, nanos, allocations }| Measured {
            name,
            nanos: median(nanos.clone()),
            ratio: median(nanos.iter().zip(reference).map(|(mine, its)| mine / its).collect()),
            allocations: *allocations,
        })
    }
}

/// Allocations per operation once everything is warm, less the few of the harness itself.
fn allocations_of(case: &mut Case<'_>) -> f64 {
    (case.run)(case.operations);
    let empty = allocations(|| (case.run)(0));
    let all = allocations(|| (case.run)(case.operations));
    all.saturating_sub(empty) as f64 / case.operations as f64
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Times chunks of `operation` over 0, 1, 2 … and gives the nanoseconds per operation of the median chunk.
#[inline(always)]
pub(crate) fn time<T>(operations: usize, mut operation: impl FnMut(usize) -> T) -> f64 {
    let mut chunks = Vec::with_capacity(operations / CHUNK);
    for chunk in 0..operations / CHUNK {
        let start = now();
        for i in chunk * CHUNK..(chunk + 1) * CHUNK {
            black_box(&operation(i));
        }
        chunks.push(start.elapsed().as_nanos() as f64 / CHUNK as f64);
    }
    median(chunks)
}

/// Times operations that are awaited, in a runtime of this thread.
#[inline(always)]
pub(crate) fn time_async<T>(operations: usize, mut operation: impl AsyncFnMut(usize) -> T) -> f64 {
    block_on(async {
        let mut chunks = Vec::with_capacity(operations / CHUNK);
        for chunk in 0..operations / CHUNK {
            let start = now();
            for i in chunk * CHUNK..(chunk + 1) * CHUNK {
                black_box(&operation(i).await);
            }
            chunks.push(start.elapsed().as_nanos() as f64 / CHUNK as f64);
        }
        median(chunks)
    })
}

/// Runs a future to its end in a new runtime of this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime of one thread needs only memory")
        .block_on(future)
}
