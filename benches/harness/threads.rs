//! Two threads that read through one cache.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{median, time};

/// Reads one key and returns whether it was a hit.
pub(crate) type Answer<'a> = Box<dyn Fn(u64) -> bool + Sync + 'a>;

/// A cache that is read through, with its name.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) answer: Answer<'a>,
}

/// Measured throughput of one contender.
pub(crate) struct Throughput {
    pub(crate) name: &'static str,
    /// Millions of operations per second of both threads together.
    pub(crate) millions: f64,
    /// Median over the rounds of the ratio to the first contender in the same round.
    pub(crate) ratio: f64,
    /// Share of hits in the last round.
    pub(crate) hits: f64,
}

/// Runs every contender once per round, each thread with its own trace. Caches stay, so only the first, unrecorded
/// round fills them.
pub(crate) fn two_threads(contenders: &[Contender<'_>], traces: &[Vec<u64>; 2], rounds: usize) -> Vec<Throughput> {
    let count = contenders.len();
    let mut millions = vec![Vec::new(); count];
    let mut hits = vec![0.0; count];
    for round in 0..=rounds {
        for turn in 0..count {
            let at = (turn + round) % count;
            let (reached, share) = once(&contenders[at], traces);
            hits[at] = share;
            if round > 0 {
                millions[at].push(reached);
            }
        }
    }
    let first = millions[0].clone();
    let ratio = |millions: &[f64]| median(millions.iter().zip(&first).map(|(mine, its)| mine / its).collect());
    (contenders.iter().zip(millions).zip(hits))
        .map(|((contender, millions), hits)| Throughput {
            name: contender.name,
            ratio: ratio(&millions),
            millions: median(millions),
            hits,
        })
        .collect()
}

fn once(contender: &Contender<'_>, traces: &[Vec<u64>; 2]) -> (f64, f64) {
    let (start, hits) = (Barrier::new(traces.len()), AtomicU64::new(0));
    let run = |trace: &Vec<u64>| {
        start.wait();
        let mut mine = 0;
        let nanos = time(trace.len(), |i| mine += u64::from((contender.answer)(trace[i])));
        hits.fetch_add(mine, Ordering::Relaxed);
        1_000.0 / nanos
    };
    let millions = std::thread::scope(|scope| {
        let threads = traces.each_ref().map(|trace| scope.spawn(|| run(trace)));
        threads.into_iter().map(|thread| thread.join().expect("contenders do not panic")).sum()
    });
    let operations: usize = traces.iter().map(Vec::len).sum();
    (millions, hits.into_inner() as f64 / operations as f64)
}
