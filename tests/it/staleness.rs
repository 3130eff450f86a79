//! Bounds how long a process may serve what another has invalidated, by versions that it remembers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retainit::{Cache, Retainit, retain};
use retainit_testkit::{ByteConfig, ManualClock, Op};

use crate::common::patient;

const SECOND: Duration = Duration::from_secs(1);

/// Two processes on one store, and a cache with two tags in each.
struct Bench {
    config: ByteConfig,
    clock: ManualClock,
    processes: [Retainit; 2],
    caches: [Cache<u64>; 2],
    loads: AtomicU64,
}

impl Bench {
    fn new(max_staleness: Option<Duration>) -> Bench {
        let (config, clock) = (ByteConfig::new(), ManualClock::new());
        let config = config.clock(clock.clone());
        let process =
            |config: ByteConfig| patient().clock(clock.clone()).register_backend("default", config).build().unwrap();
        let processes = [process(config.clone()), process(config.share())];
        let cache = |process: &Retainit| {
            let builder = process.cache::<u64>("numbers").tags(["one", "two"]);
            match max_staleness {
                Some(bound) => builder.max_staleness(bound).build().unwrap(),
                None => builder.build().unwrap(),
            }
        };
        let caches = [cache(&processes[0]), cache(&processes[1])];
        Bench { config, clock, processes, caches, loads: AtomicU64::new(0) }
    }

    /// Calls for a key in a process. Each load brings another number.
    async fn call(&self, process: usize, key: u64) -> u64 {
        self.caches[process].get_or_load(&key, || async { self.loads.fetch_add(1, Ordering::SeqCst) + 1 }).await
    }

    fn version_reads(&self) -> u64 {
        self.config.store().version_reads()
    }
}

#[tokio::test]
async fn a_hit_reads_no_versions_while_they_are_known() {
    let bench = Bench::new(None);
    bench.call(0, 1).await;
    let (before, faults) = (bench.version_reads(), bench.config.faults());
    faults.reset_calls();
    for _ in 0..10 {
        assert_eq!(bench.call(0, 1).await, 1);
    }
    assert_eq!((faults.calls(Op::All), bench.version_reads()), (10, before), "one read each, of the entry alone");
    bench.clock.advance(SECOND);
    bench.call(0, 1).await;
    assert_eq!((faults.calls(Op::All), bench.version_reads() - before), (11, 4), "they come in the trip of the entry");
    bench.call(0, 2).await;
    assert_eq!(bench.version_reads() - before, 4, "a load takes its versions from the table");
    assert_eq!((bench.call(0, 2).await, bench.call(1, 2).await), (2, 2));
}

#[tokio::test]
async fn what_another_process_invalidated_is_served_no_longer_than_the_bound() {
    for (set, bound) in [(None, SECOND), (Some(5 * SECOND), 5 * SECOND), (Some(Duration::ZERO), Duration::ZERO)] {
        let bench = Bench::new(set);
        let first = bench.call(0, 1).await;
        bench.clock.advance(bound / 2);
        bench.processes[1].invalidate_tag("two").await.unwrap();
        if !bound.is_zero() {
            assert_eq!(bench.call(0, 1).await, first, "it may be served within the bound");
        }
        bench.clock.advance(bound / 2);
        assert!(bench.call(0, 1).await > first, "{bound:?} after the versions were asked for");
    }
}

#[tokio::test]
async fn in_the_process_that_invalidates_it_holds_at_once() {
    let bench = Bench::new(None);
    for round in 0..3 {
        let before = bench.call(0, 1).await;
        match round {
            0 => bench.processes[0].invalidate_tag("one").await.unwrap(),
            1 => drop(bench.caches[0].clear().await.unwrap()),
            _ => drop(bench.processes[0].clear().await.unwrap()),
        }
        assert!(bench.call(0, 1).await > before);
    }
}

/// A process that lags behind would load what another has loaded already, and store it under versions that are old
/// for all others, who would load again.
#[tokio::test]
async fn an_entry_that_is_newer_than_what_is_known_is_a_hit() {
    let bench = Bench::new(None);
    bench.call(0, 1).await;
    bench.processes[1].invalidate_tag("two").await.unwrap();
    let newer = bench.call(1, 1).await;
    for _ in 0..3 {
        assert_eq!((bench.call(0, 1).await, bench.call(1, 1).await), (newer, newer));
    }
    assert_eq!(bench.loads.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_raise_that_failed_is_asked_for() {
    let bench = Bench::new(None);
    let before = bench.call(0, 1).await;
    // The raise is executed, and its answer lost: it is pending, and repeated before the next read.
    bench.config.faults().lose_answer(Op::Raise, 1);
    bench.processes[0].invalidate_tag("one").await.unwrap_err();
    assert!(bench.call(0, 1).await > before);
}

#[tokio::test]
async fn a_store_that_has_lost_everything_is_filled_again() {
    let bench = Bench::new(None);
    bench.call(0, 1).await;
    bench.config.store().flush();
    // The table is older than the loss: what is stored by it is dead once the versions are asked for.
    bench.call(0, 1).await;
    bench.clock.advance(SECOND);
    let last = bench.call(0, 1).await;
    bench.clock.advance(SECOND);
    assert_eq!((bench.call(0, 1).await, bench.call(1, 1).await), (last, last));
}

#[retain(id = "staleness.strict", tags("strict"), max_staleness = "0s")]
async fn strict(id: u64) -> u64 {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    id + RUNS.fetch_add(1, Ordering::SeqCst)
}

#[tokio::test]
async fn a_function_that_allows_none_reads_its_versions_each_time() {
    let bench = Bench::new(None);
    retainit::with_instance(&bench.processes[0], async {
        let first = strict(1).await;
        let before = bench.version_reads();
        assert_eq!(strict(1).await, first);
        assert_eq!(bench.version_reads() - before, 3, "namespace, function and tag");
        bench.processes[1].invalidate_tag("strict").await.unwrap();
        assert!(strict(1).await > first);
    })
    .await;
}
