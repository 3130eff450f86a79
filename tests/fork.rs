//! Children of a process that uses the cache, forked while its threads are at it: they run uncached, or with an
//! instance of their own, and never wait for threads or locks that stayed with the parent. A binary of its own, for it
//! forks.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "there is no safe call that forks")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use retainit::{
    Cache, DiskConfig, ErrorKind, Event, EventKind, EventKinds, MemoryConfig, QueuePolicy, Retainit, Spill, Subscriber,
    retain,
};

/// One test forks at a time: the threads of another would be in its children's way.
static ALONE: Mutex<()> = Mutex::new(());

static RUNS: AtomicU64 = AtomicU64::new(0);

#[retain(id = "fork.user", backend = "memory", ttl = "1h", tags("user:{id}"))]
fn user(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id + 1
}

#[retain(id = "fork.report", backend = "disk")]
async fn report(id: u64) -> u64 {
    RUNS.fetch_add(1, Ordering::SeqCst);
    id + 2
}

#[retain(id = "fork.forks", backend = "memory")]
fn forks(id: u64) -> u64 {
    in_child("in a load", || assert_eq!(user(id), id + 1));
    id
}

// SAFETY: these are their declarations in POSIX.
unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

const WNOHANG: c_int = 1;
const SIGKILL: c_int = 9;

/// Runs something in a child, which has to end by itself.
fn in_child(what: &str, run: impl FnOnce()) {
    // SAFETY: the child runs what is under test, and ends without going back to the harness.
    let pid = unsafe { fork() };
    assert!(pid >= 0, "a child can be made");
    if pid == 0 {
        let ended = catch_unwind(AssertUnwindSafe(run));
        // SAFETY: nothing of the parent's is to be ended here.
        unsafe { _exit(i32::from(ended.is_err())) };
    }
    let mut status = 0;
    for _ in 0..6_000 {
        // SAFETY: the child is this thread's own, and the status a number of its.
        if unsafe { waitpid(pid, &raw mut status, WNOHANG) } == pid {
            return assert_eq!(status, 0, "{what}: the child failed");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: it was not waited for yet, so the number is still its.
    unsafe { kill(pid, SIGKILL) };
    panic!("{what}: the child hangs");
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn instance(folder: &Path) -> Retainit {
    // On a busy machine too, what is on the disk is found there.
    let long = Duration::from_secs(60);
    let disk = DiskConfig::new().base_path(folder).busy_timeout(long / 2);
    let builder = Retainit::builder().op_timeout(long).register_backend("memory", MemoryConfig::new());
    builder.register_backend("disk", disk).build().unwrap()
}

/// Checks that uncached calls, which need none of the parent's threads, work in a child.
fn uncached(parent: &Retainit, cache: &Cache<u64>) {
    let before = RUNS.load(Ordering::SeqCst);
    for id in 0..3 {
        assert_eq!((user(id), block_on(report(id))), (id + 1, id + 2));
        assert_eq!((user(id), block_on(report(id))), (id + 1, id + 2));
    }
    assert_eq!(RUNS.load(Ordering::SeqCst) - before, 12, "nothing is cached");
    assert_eq!(retainit::with_instance_sync(parent, || user(7)), 8);
    assert_eq!(block_on(retainit::with_instance(parent, report(7))), 9);
    assert_eq!(cache.blocking().get_or_load(&1, || 5), 5);
    assert_eq!(block_on(cache.get_or_load(&1, async || 6)), 6);
    // What would have to reach the parent's cache is an error: nothing was removed there.
    let closed = |kind| assert_eq!(kind, ErrorKind::Closed);
    closed(cache.blocking().get(&1).unwrap_err().kind());
    closed(block_on(cache.set(&1, 1)).unwrap_err().kind());
    closed(cache.blocking().remove(&1).unwrap_err().kind());
    closed(parent.blocking().invalidate_tag("user:1").unwrap_err().kind());
    closed(parent.blocking().clear().unwrap_err().kind());
    closed(parent.blocking().keys("").unwrap_err().kind());
    closed(block_on(retainit::invalidate_tag("user:1")).unwrap_err().kind());
    assert!(block_on(parent.health()).is_err());
    drop((parent.stats(), cache.stats(), parent.clone()));
    parent.events().subscribe(EventKind::CacheHit, |_| {});
    parent.blocking().close().unwrap();
}

/// Checks that an instance of the child's own is a cache.
fn with_its_own() {
    let builder = Retainit::builder().register_backend("memory", MemoryConfig::new());
    let own = builder.register_backend("disk", MemoryConfig::new()).build().unwrap();
    own.install().unwrap();
    let before = RUNS.load(Ordering::SeqCst);
    for _ in 0..100 {
        assert_eq!(user(1), 2);
    }
    assert_eq!((RUNS.load(Ordering::SeqCst) - before, own.stats().hits), (1, 99));
    assert!(user::cache().remove(&1).unwrap());
    // Followers, an alarm and a subscriber need threads of its own.
    let (told, tell) = std::sync::mpsc::channel();
    own.events().subscribe(EventKind::CacheSet, move |event| told.send(event.kind()).unwrap());
    let slow = own.cache::<u64>("slow").backend("memory").max_load_time("1h").build().unwrap();
    std::thread::scope(|scope| {
        let load = || {
            slow.blocking().get_or_load(&1, || {
                std::thread::sleep(Duration::from_millis(20));
                3
            })
        };
        let threads = [(); 4].map(|()| scope.spawn(load));
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 3));
    });
    tell.recv_timeout(Duration::from_secs(20)).unwrap();
    own.blocking().close().unwrap();
}

#[test]
fn a_child_never_waits_for_what_stayed_with_its_parent() {
    let _alone = hold(&ALONE);
    let folder = tempfile::tempdir().unwrap();
    let parent = instance(folder.path());
    parent.install().unwrap();
    let cache = parent.cache::<u64>("c").backend("memory").tags(["t"]).ttl("10ms").build().unwrap();
    let disk = parent.cache::<u64>("d").backend("disk").build().unwrap();
    // Its threads are there: of timers, of input and output, of a subscriber.
    parent.events().subscribe(EventKind::CacheSet, |_| {});
    assert_eq!((user(1), block_on(report(1))), (2, 3));

    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let hammer = |work: &(dyn Fn(u64) + Sync)| {
            for number in 0.. {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                work(number);
            }
        };
        // What the disk cannot do in time, on a machine that is busy, is nothing to these.
        scope.spawn(move || hammer(&|number| drop((user(number % 50), user::cache().remove(&(number % 7))))));
        let (hit, own) = (cache.clone(), parent.clone());
        scope.spawn(move || {
            hammer(&|number| {
                hit.blocking().set(&(number % 100), number).unwrap();
                hit.blocking().get_or_load(&(number % 90), || number);
                if number.is_multiple_of(64) {
                    own.blocking().invalidate_tag("t").ok();
                    drop((own.blocking().keys(""), own.stats()));
                }
            });
        });
        let stored = disk.clone();
        scope.spawn(move || {
            hammer(&|number| {
                block_on(stored.get_or_load(&(number % 40), async || number));
                stored.blocking().remove(&(number % 30)).ok();
                drop(parent_caches(number));
            });
        });
        let forked = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..200 {
                in_child("uncached", || uncached(&parent, &cache));
            }
        }));
        is_over.store(true, Ordering::SeqCst);
        forked.unwrap();
    });

    assert_eq!(forks(3), 3, "a load that forks ends in the parent as ever");
    let other = tempfile::tempdir().unwrap();
    let doomed = instance(other.path());
    assert_eq!(block_on(retainit::with_instance(&doomed, report(1))), 3);
    in_child("the end of an instance", move || drop(doomed));
    for _ in 0..20 {
        in_child("with its own", with_its_own);
    }
    in_child("a grandchild", || {
        with_its_own();
        in_child("of a child", || assert_eq!(user(1), 2));
    });
    // SQLite was in use when it was forked, so that a child goes without.
    in_child("with a disk of its own", || {
        let own = instance(folder.path());
        let cache = own.cache::<u64>("d").backend("disk").build().unwrap();
        assert_eq!(block_on(cache.get_or_load(&1, async || 9)), 9);
        assert_eq!(cache.blocking().get(&1).unwrap_err().kind(), ErrorKind::Unsupported);
    });
    // The parent goes on as if nothing had been.
    let before = RUNS.load(Ordering::SeqCst);
    assert_eq!((user(1_000), user(1_000), block_on(report(1))), (1_001, 1_001, 3));
    assert_eq!(RUNS.load(Ordering::SeqCst) - before, 1);
    disk.blocking().set(&1, 4).unwrap();
    assert_eq!(disk.blocking().get(&1).unwrap().value(), Some(4));
    parent.blocking().close().unwrap();
}

/// Instances come and go too.
fn parent_caches(number: u64) -> Option<Cache<u64>> {
    number.is_multiple_of(16).then(|| {
        let other = Retainit::builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
        other.cache::<u64>("other").build().unwrap()
    })
}

fn hold(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held to stop a thread that spills an event, and with it those who wait for the queue.
static GATE: Mutex<()> = Mutex::new(());
static IS_SPILLING: AtomicBool = AtomicBool::new(false);

/// A subscriber that is in the way of everybody.
#[derive(Debug)]
struct Stuck;

impl Subscriber for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }

    fn kinds(&self) -> EventKinds {
        EventKind::CacheSet.into()
    }

    fn policy(&self) -> QueuePolicy {
        QueuePolicy::Keep(Duration::ZERO)
    }

    fn handle(&mut self, _event: &Event) -> retainit::Result<()> {
        drop(hold(&GATE));
        Ok(())
    }

    fn spill(&self) -> Option<Arc<dyn Spill>> {
        Some(Arc::new(Stuck))
    }
}

impl Spill for Stuck {
    fn put(&self, _event: &Event) -> retainit::Result<()> {
        IS_SPILLING.store(true, Ordering::SeqCst);
        drop(hold(&GATE));
        Ok(())
    }
}

/// Checks that threads of a child's own wait for each other.
fn contend() {
    const THREADS: u64 = 8;
    let own = Retainit::builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
    own.events().subscribe([EventKind::CacheHit, EventKind::CacheSet], |_| {});
    let cache = own.cache::<u64>("own").backend("memory").tags(["t"]).build().unwrap();
    let load = |key| {
        std::thread::yield_now();
        key + 1
    };
    let work = || {
        for number in 0..100 {
            let key = number % 5;
            assert_eq!(cache.blocking().get_or_load(&key, || load(key)), key + 1);
            match number % 8 {
                0 => drop(cache.blocking().remove(&key).unwrap()),
                1 => cache.blocking().set(&key, key + 1).unwrap(),
                2 => own.blocking().invalidate_tag("t").unwrap(),
                3 => drop((own.blocking().keys("").unwrap(), own.stats())),
                _ => {}
            }
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    own.blocking().close().unwrap();
}

// The stacks of the parent's threads, and with them whatever a queue of theirs would consist of, are those of the
// child's threads.
#[test]
fn a_child_does_not_know_who_waits_in_its_parent() {
    const WAITING: u64 = 8;
    let _alone = hold(&ALONE);
    let parent = Retainit::builder().register_backend("memory", MemoryConfig::new()).build().unwrap();
    let cache = parent.cache::<u64>("c").backend("memory").build().unwrap();
    parent.events().add(Stuck);
    let gate = hold(&GATE);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !IS_SPILLING.load(Ordering::SeqCst) {
                cache.blocking().set(&0, 0).unwrap();
            }
        });
        while !IS_SPILLING.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let (begun, begins) = mpsc::channel();
        for number in 0..WAITING {
            let (begun, cache) = (begun.clone(), &cache);
            scope.spawn(move || {
                begun.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
                cache.blocking().set(&number, 0).unwrap();
            });
        }
        for thread in begins.iter().take(WAITING as usize) {
            let stat = Path::new("/proc").join(thread).join("stat");
            while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
                std::thread::yield_now();
            }
        }
        let forked = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..50 {
                in_child("with threads that wait for each other", contend);
            }
        }));
        drop(gate);
        forked.unwrap();
    });
    assert_eq!(cache.blocking().get(&1).unwrap().value(), Some(0), "whoever waited goes on");
    parent.blocking().close().unwrap();
}
