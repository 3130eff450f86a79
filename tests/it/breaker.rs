//! The circuit breaker of byte backends: when it opens, that nothing is attempted then, how it closes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use retainit::{BreakerState, Cache, ErrorKind, EventKind, Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_plugin::{BackendConfig, Built, Context, Count, Part, Registration, Result, Settings, config};
use retainit_testkit::{ByteConfig, Faults, ManualClock, Op};
use tempfile::TempDir;

use crate::common::{patient, recovered, soon};

#[retain(id = "breaker.number")]
async fn number(n: u64) -> u64 {
    n
}

#[retain(id = "breaker.number_sync")]
fn number_sync(n: u64) -> u64 {
    n
}

/// An instance on a faulty backend, with a clock that is moved by hand and the changes of its breaker.
struct Outage {
    instance: Retainit,
    cache: Cache<u64>,
    faults: Faults,
    clock: ManualClock,
    changes: Arc<Mutex<Vec<String>>>,
}

impl Outage {
    fn of(config: ByteConfig) -> Outage {
        let (faults, clock) = (config.faults(), ManualClock::new());
        let instance = patient().clock(clock.clone()).register_backend("main", config).build().unwrap();
        let cache = instance.cache::<u64>("numbers").build().unwrap();
        let changes = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&changes);
        drop(instance.events().subscribe(EventKind::BreakerChange, move |event| {
            assert_eq!(event.backend(), Some("main"));
            assert_eq!(event.error().is_some(), event.operation() == Some("open"), "{event}");
            heard.lock().unwrap().push(event.detail().unwrap_or_default().to_owned());
        }));
        Outage { instance, cache, faults, clock, changes }
    }

    fn each() -> [Outage; 2] {
        [ByteConfig::new(), ByteConfig::new().blocking()].map(Outage::of)
    }

    /// Calls as several callers do, async and sync ones. All of them are answered.
    async fn call(&self, calls: u64) {
        for n in 0..calls {
            assert_eq!(soon(retainit::with_instance(&self.instance, number(n))).await, n);
            assert_eq!(retainit::with_instance_sync(&self.instance, || number_sync(n)), n);
        }
    }

    /// Opens the breaker.
    async fn opened() -> Outage {
        let outage = Outage::of(ByteConfig::new());
        outage.open().await;
        outage
    }

    async fn open(&self) {
        self.faults.fail_always(Op::All);
        self.call(5).await;
        assert_eq!(self.breaker().await, BreakerState::Open);
        self.faults.reset_calls();
    }

    async fn breaker(&self) -> BreakerState {
        self.instance.health().await.unwrap().backends[0].breaker.unwrap()
    }

    async fn until(&self, what: impl Fn() -> bool) {
        soon(async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    async fn until_breaker(&self, state: BreakerState) {
        soon(async {
            while self.breaker().await != state {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Takes the changes since the last call.
    async fn changes(&self) -> Vec<String> {
        soon(self.instance.events().flush()).await;
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

// T-86, T-116
#[tokio::test]
async fn it_opens_after_five_failures_and_one_probe_closes_it() {
    for outage in Outage::each() {
        let Outage { faults, clock, .. } = &outage;
        outage.call(1).await;
        faults.fail_always(Op::All);
        faults.reset_calls();
        outage.call(3).await;
        assert_eq!(faults.calls(Op::All), 5, "the sixth call attempts nothing");
        outage.call(100).await;
        assert_eq!(outage.cache.get(&1).await.unwrap_err().kind(), ErrorKind::Unreachable);
        clock.advance(Duration::from_secs(59));
        outage.call(10).await;
        let health = outage.instance.health().await.unwrap();
        let main = &health.backends[0];
        assert_eq!((main.is_reachable, main.breaker, main.pending), (false, Some(BreakerState::Open), 0));
        assert!(health.to_string().contains("circuit breaker is open"), "{health}");
        assert_eq!((outage.instance.stats().total_keys, faults.calls(Op::All)), (0, 5), "nor does anything else");
        outage.until(|| !outage.changes.lock().unwrap().is_empty()).await;
        assert_eq!(outage.changes().await, ["closed -> open"]);

        // The probe fails: open for another minute.
        clock.advance(Duration::from_secs(1));
        outage.call(10).await;
        outage.until(|| faults.calls(Op::Health) == 1).await;
        outage.until(|| outage.changes.lock().unwrap().len() == 2).await;
        assert_eq!(outage.changes().await, ["open -> half_open", "half_open -> open"]);
        clock.advance(Duration::from_secs(59));
        outage.call(10).await;
        assert_eq!(faults.calls(Op::All), 6);

        faults.heal();
        clock.advance(Duration::from_secs(1));
        outage.call(1).await;
        recovered(&outage.instance).await;
        // `health()` asks by itself only where it has found the breaker closed.
        assert!(matches!(faults.calls(Op::Health), 2 | 3), "one probe more, and perhaps that of `health()`");
        assert_eq!(outage.changes().await, ["open -> half_open", "half_open -> closed"]);
        outage.call(1).await;
        faults.reset_calls();
        outage.call(1).await;
        assert_eq!((faults.calls(Op::Read), faults.calls(Op::Store)), (2, 0), "it has filled by itself");
    }
}

// While the probe is under way nothing else is attempted, and it does not stay half-open.
#[tokio::test]
async fn a_probe_that_hangs() {
    let outage = Outage::opened().await;
    outage.faults.heal();
    outage.faults.hang(Op::Health);
    outage.clock.advance(Duration::from_secs(60));
    outage.call(1).await;
    outage.until_breaker(BreakerState::HalfOpen).await;
    outage.clock.advance(Duration::from_secs(600));
    outage.call(100).await;
    assert_eq!((outage.faults.calls(Op::All), outage.faults.calls(Op::Health)), (1, 1));
    outage.faults.heal();
    outage.until_breaker(BreakerState::Closed).await;
}

#[tokio::test]
async fn what_says_nothing_about_the_connection_does_not_count() {
    for outage in Outage::each() {
        let Outage { faults, cache, .. } = &outage;
        let stays_closed = async |what: &str| {
            assert_eq!(outage.breaker().await, BreakerState::Closed, "{what}");
        };
        for n in 0..20 {
            assert!(cache.get(&n).await.unwrap().is_miss());
        }
        stays_closed("misses").await;
        for make in [Faults::refuse as fn(&Faults, Op, u64), Faults::deny, Faults::break_down] {
            make(faults, Op::Read, 20);
            for n in 0..20 {
                assert!(cache.get(&n).await.unwrap_err().kind() != ErrorKind::Unreachable);
            }
            stays_closed("refusals and failures of the backend itself").await;
        }
        // A refusal is an answer: four failures, one refusal, four failures.
        for _ in 0..2 {
            faults.fail(Op::Read, 4);
            for n in 0..4 {
                cache.get(&n).await.unwrap_err();
            }
            faults.refuse(Op::Read, 1);
            cache.get(&1).await.unwrap_err();
        }
        stays_closed("refusals between").await;
        faults.hang(Op::Read);
        for n in 0..20 {
            assert!(tokio::time::timeout(Duration::from_millis(1), cache.get(&n)).await.is_err());
        }
        faults.heal();
        stays_closed("callers that leave").await;
        assert!(outage.changes().await.is_empty());
    }
}

// A call that is answered late, because it had little of its time left, is not the backend's fault either; one that had
// all of it is.
#[tokio::test]
async fn a_backend_that_hangs_opens_it() {
    for config in [ByteConfig::new(), ByteConfig::new().blocking()] {
        let outage = Outage::of(config.op_timeout(Duration::from_millis(20)));
        outage.faults.hang(Op::Read);
        for n in 0..5 {
            assert_eq!(outage.cache.get(&n).await.unwrap_err().kind(), ErrorKind::Timeout, "the backend's own limit");
        }
        outage.faults.reset_calls();
        for n in 0..50 {
            assert_eq!(outage.cache.get(&n).await.unwrap_err().kind(), ErrorKind::Unreachable);
        }
        assert_eq!(outage.faults.calls(Op::All), 0);
    }
}

// T-87
#[tokio::test]
async fn each_backend_has_its_own() {
    let (one, other) = (ByteConfig::new(), ByteConfig::new());
    let (faults, others) = (one.faults(), other.faults());
    let builder = patient().default_backend("one").register_backend("one", one);
    let instance = builder.register_backend("other", other).build().unwrap();
    let (of_one, of_other) = (instance.cache::<u64>("one"), instance.cache::<u64>("other").backend("other"));
    let (of_one, of_other) = (of_one.build().unwrap(), of_other.build().unwrap());
    faults.fail_always(Op::All);
    for n in 0..10 {
        of_one.get(&n).await.unwrap_err();
        of_other.get(&n).await.unwrap();
    }
    assert_eq!((faults.calls(Op::Read), others.calls(Op::Read)), (5, 10));
    let states = instance.health().await.unwrap().backends;
    let states: Vec<_> = states.iter().map(|backend| (backend.name.as_str(), backend.breaker)).collect();
    assert_eq!(states, [("one", Some(BreakerState::Open)), ("other", Some(BreakerState::Closed))]);
}

#[tokio::test]
async fn a_threshold_of_zero_is_no_breaker() {
    let outage = Outage::of(ByteConfig::new().breaker_threshold(0));
    outage.faults.fail_always(Op::All);
    outage.call(20).await;
    assert_eq!(outage.faults.calls(Op::Read), 40);
}

// A pending removal ends the pause of the breaker: its probe comes although the clock stands still.
#[tokio::test]
async fn pending_removals_are_flushed_without_waiting_for_the_pause() {
    for outage in Outage::each() {
        let Outage { faults, cache, .. } = &outage;
        cache.set(&7, 7).await.unwrap();
        outage.open().await;
        assert_eq!(cache.remove(&7).await.unwrap_err().kind(), ErrorKind::Pending);
        let health = outage.instance.health().await.unwrap();
        assert_eq!(health.backends[0].pending, 1);
        assert!(health.to_string().contains("pending removals: 1"), "{health}");
        outage.until(|| faults.calls(Op::Health) > 2).await;
        assert_eq!((faults.calls(Op::Remove), faults.calls(Op::Read)), (0, 0), "the probe comes first");
        assert_eq!(outage.changes().await, ["closed -> open"], "an early probe is no change");
        faults.heal();
        recovered(&outage.instance).await;
        assert!(cache.get(&7).await.unwrap().is_miss());
        assert_eq!(outage.changes().await, ["open -> closed"]);
    }
}

// Nobody flushes, nobody waits, and nothing that was removed comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_wait_for_none_of_thousands_of_pending_removals() {
    const PENDING: u64 = 9_000;
    for outage in Outage::each() {
        let Outage { faults, cache, instance, .. } = &outage;
        for key in 0..50 {
            cache.set(&key, key).await.unwrap();
        }
        outage.open().await;
        for key in 0..PENDING {
            assert_eq!(cache.remove(&key).await.unwrap_err().kind(), ErrorKind::Pending);
        }
        // The server is back, and takes as long for the removals as the callers take.
        faults.heal();
        faults.hang(Op::Remove);
        outage.until(|| faults.calls(Op::Remove) > 0).await;
        faults.reset_calls();
        let (answered, mut callers) = (Arc::new(AtomicUsize::new(0)), Vec::new());
        for caller in 0..32u64 {
            let (cache, answered) = (cache.clone(), Arc::clone(&answered));
            callers.push(tokio::spawn(async move {
                for key in 0..100 {
                    let loaded = cache.get_or_load(&key, || async { 1_000 + caller }).await;
                    assert!(loaded >= 1_000, "key {key} was removed");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        for caller in callers {
            soon(caller).await.unwrap();
        }
        assert_eq!(answered.load(Ordering::Relaxed), 3_200);
        assert_eq!(faults.calls(Op::All), 0, "the keeper waits for an answer, and nobody else calls");
        faults.heal();
        recovered(instance).await;
        assert!(faults.calls(Op::Remove) < PENDING / 100, "in batches");
        for key in 0..50 {
            assert!(cache.get(&key).await.unwrap().is_miss(), "key {key}");
        }
    }
}

// A removal that is asked for while others are pending is attempted: it reads nothing, and its caller wants to know.
#[tokio::test]
async fn removals_are_attempted_while_others_are_pending() {
    let outage = Outage::of(ByteConfig::new().breaker_threshold(0));
    let Outage { faults, cache, .. } = &outage;
    cache.set(&1, 1).await.unwrap();
    cache.set(&2, 2).await.unwrap();
    faults.fail_always(Op::All);
    assert_eq!(cache.remove(&1).await.unwrap_err().kind(), ErrorKind::Pending);
    assert_eq!(cache.get(&2).await.unwrap_err().kind(), ErrorKind::Pending);
    faults.heal();
    assert!(cache.remove(&2).await.unwrap());
    cache.remove(&1).await.unwrap();
    assert!(cache.get(&1).await.unwrap().is_miss(), "nothing is pending any more");
}

config! {
    /// A byte backend of files, whose faults the test has.
    pub struct FaultyConfig {
        /// The longest a call waits.
        op_timeout: Duration, example "100ms";
        /// The number of failures that open the breaker.
        breaker_threshold: Count = 5, alias "circuit_breaker_threshold";
        /// The time until the probe.
        breaker_timeout: Duration = "60s", alias "circuit_breaker_timeout";
    }
    fn problems(&self, problems: &mut Vec<Problem>) {
        self.settings().check(problems);
    }
}

static FAULTY: LazyLock<ByteConfig> = LazyLock::new(ByteConfig::new);

impl BackendConfig for FaultyConfig {
    fn type_name(&self) -> &'static str {
        "faulty"
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        settings.op_timeout = self.op_timeout.get().copied();
        settings.breaker_threshold = self.breaker_threshold.get().map(|threshold| threshold.0);
        settings.breaker_timeout = self.breaker_timeout.get().copied();
        settings
    }

    fn build(&self, context: Context) -> Result<Built> {
        Ok(Built::Bytes(Arc::new(FAULTY.open(&context))))
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

#[tokio::test]
async fn its_limits_come_from_files_and_follow_a_reload() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("retainit.toml");
    let write = |fields: &str| {
        std::fs::write(&path, format!("[retainit.backends.far]\ntype = \"faulty\"\n{fields}")).unwrap();
    };
    write("breaker_threshold = 2\n");
    let faulty = Registration::new("faulty", "a program", Part::Backend(|| Box::new(FaultyConfig::new())));
    let variables = [("RETAINIT_BACKENDS_FAR_CIRCUIT_BREAKER_TIMEOUT", "1h")];
    let instance = Retainit::builder().config_file(&path).variables(variables).plugin(faulty).build().unwrap();
    let shown = |field: &str| {
        let effective = instance.effective();
        effective.get(&format!("backends.far.{field}")).unwrap().value().to_owned()
    };
    assert_eq!((shown("breaker_threshold"), shown("breaker_timeout")), ("2".to_owned(), "1h".to_owned()));
    let cache = instance.cache::<u64>("numbers").build().unwrap();
    let faults = FAULTY.faults();
    let failures = async |calls: u64| {
        faults.fail_always(Op::Read);
        faults.reset_calls();
        for n in 0..calls {
            cache.get(&n).await.unwrap_err();
        }
        faults.heal();
        faults.calls(Op::Read)
    };
    assert_eq!(failures(10).await, 2);
    // A shorter pause holds for the breaker that is open.
    write("breaker_threshold = 3\nbreaker_timeout = \"10ms\"\n");
    instance.reload().unwrap();
    recovered(&instance).await;
    write("breaker_threshold = 3\n");
    instance.reload().unwrap();
    assert_eq!(failures(10).await, 3);
    write("breaker_threshold = 0\n");
    instance.reload().unwrap();
    assert_eq!(failures(10).await, 10, "no breaker, and one that was open is closed");
    write("op_timeout = \"1s\"\n");
    let error = instance.reload().unwrap_err().to_string();
    assert!(error.contains("backends.far.op_timeout") && error.contains("restart"), "{error}");
}

// Code sets them too, on the disk as elsewhere.
#[test]
fn code_sets_its_limits() {
    let folder = TempDir::new().unwrap();
    let disk = DiskConfig::new().base_path(folder.path()).breaker_threshold(7).breaker_timeout("5s").op_timeout("2s");
    let instance = Retainit::builder().register_backend("disk", disk).build().unwrap();
    let effective = instance.effective();
    let shown = |field: &str| effective.get(&format!("backends.disk.{field}")).unwrap().value().to_owned();
    assert_eq!(["breaker_threshold", "breaker_timeout", "op_timeout"].map(shown), ["7", "5s", "2s"]);
    let zero = DiskConfig::new().base_path(folder.path()).breaker_timeout(Duration::ZERO);
    let error = Retainit::builder().register_backend("disk", zero).build().unwrap_err().to_string();
    assert!(error.contains("breaker_timeout") && error.contains("breaker_threshold = 0"), "{error}");
}
