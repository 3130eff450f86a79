use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    Backend, Built, Bytes, Capabilities, Clock, Context, Error, ErrorKind, Fence, GroupVersion, GroupVersions,
    LivenessCheck, LocalBackend, Page, Read, Result, Scan, Seal, Snapshot, StoreCondition, StoreOptions, Stored,
    Strength, SystemClock,
};
use tokio::runtime::{Builder, Runtime};

use crate::random::random;
use crate::{ManualClock, Recorder};

pub(super) type Make = Arc<dyn Fn(Context) -> Built + Send + Sync>;

/// The lease of a fence that no case outlives by accident.
pub(super) const LEASE: Duration = Duration::from_secs(3_600);

/// A ttl that ends within a case. Whole seconds: some stores support no other.
pub(super) const SHORT: Duration = Duration::from_secs(1);

/// The backends and keys of one case: one process, and keys that no other case has.
pub(super) struct Bench {
    make: Make,
    runtime: Arc<Runtime>,
    process: Process,
    clock: Option<ManualClock>,
    lose_versions: Option<Arc<dyn Fn() + Send + Sync>>,
    unreachable: Option<Make>,
    prefix: String,
}

impl Bench {
    /// Makes the bench of one case. `clock` is that of all benches of a suite, as they may share one store; without,
    /// time is real.
    pub(super) fn new(
        make: Make,
        clock: Option<ManualClock>,
        lose_versions: Option<Arc<dyn Fn() + Send + Sync>>,
        unreachable: Option<Make>,
    ) -> Bench {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = Arc::new(runtime.expect("a runtime without threads can be built"));
        let process = Process::start(&make, &runtime, clock.as_ref());
        let prefix = format!("r1:d:conformance-{:016x}:-:case@1:", random());
        Bench { make, runtime, process, clock, lose_versions, unreachable, prefix }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        match &self.process.backend {
            AnyBackend::Async(backend) => backend.capabilities(),
            AnyBackend::Blocking(backend) => backend.capabilities(),
        }
    }

    pub(super) fn is_async(&self) -> bool {
        matches!(self.process.backend, AnyBackend::Async(_))
    }

    pub(super) fn loses_versions(&self) -> bool {
        self.lose_versions.is_some()
    }

    pub(super) fn lose_versions(&self) {
        self.lose_versions.as_ref().expect("the case needs it")();
    }

    pub(super) fn has_unreachable(&self) -> bool {
        self.unreachable.is_some()
    }

    /// Starts a process that cannot reach the store.
    pub(super) fn start_unreachable(&self) -> Process {
        let make = self.unreachable.as_ref().expect("the case needs it");
        Process::start(make, &self.runtime, self.clock.as_ref())
    }

    /// Starts another process.
    pub(super) fn start(&self) -> Process {
        Process::start(&self.make, &self.runtime, self.clock.as_ref())
    }

    /// Returns the process of this case.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns a key of this case.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns a group of this case.
    pub(super) fn group(&self, name: &str) -> String {
        format!("r1:t:{}:{name}", self.prefix.replace(':', "-"))
    }

    /// Lets time pass.
    pub(super) fn pass(&self, duration: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(duration),
            None => std::thread::sleep(duration),
        }
    }

    /// Lets time pass that is too long to wait for; none in real time.
    pub(super) fn pass_manually(&self, duration: Duration) {
        if let Some(clock) = &self.clock {
            clock.advance(duration);
        }
    }
}

/// The calls of the process of this case, none of which may fail.
impl Bench {
    pub(super) fn peek(&self, key: &str) -> Option<Bytes> {
        self.process.peek(key)
    }

    /// Takes a fence, as a caller does that is going to load.
    pub(super) fn fence(&self, key: &str) -> Fence {
        self.process.fence(key)
    }

    pub(super) fn store(&self, key: &str, entry: &'static str, when: StoreCondition) -> Stored {
        self.process.put(key, entry, when)
    }

    pub(super) fn store_for(&self, key: &str, entry: &'static str, ttl: Duration) {
        let terms = StoreOptions::new(StoreCondition::Always).ttl(Some(ttl));
        let stored = self.process.store(key, Bytes::from(entry), terms);
        assert_eq!(stored.expect("store"), Stored::Yes);
    }

    pub(super) fn remove(&self, key: &str) -> bool {
        self.process.remove(key).expect("remove")
    }

    /// Returns the versions of groups, as a reader takes them. `None` for those that have none.
    pub(super) fn versions(&self, groups: &[&str]) -> GroupVersions {
        let read = self.process.read(&self.key("versions"), Read::peek().groups(groups));
        read.expect("read with groups").versions
    }

    /// Returns the versions of groups, as a caller takes them that is going to load: those without one get one.
    pub(super) fn taken_versions(&self, groups: &[&str]) -> Vec<GroupVersion> {
        let read = self.process.read(&self.key("versions"), Read::take(LEASE).groups(groups));
        let versions = read.expect("read with groups").versions;
        versions.into_iter().map(|version| version.expect("a take makes what is missing")).collect()
    }

    pub(super) fn raise(&self, group: &str, strength: Strength) -> GroupVersion {
        self.process.raise(group, strength).expect("raise")
    }

    /// Returns all keys of a scan, sorted; what a page repeats is not dropped.
    pub(super) fn scan(&self, prefix: &str, page: usize) -> Vec<String> {
        self.scan_all(&Scan::prefix(prefix), page)
    }

    /// Returns all keys of a scan, over its pages.
    pub(super) fn scan_all(&self, scan: &Scan, page: usize) -> Vec<String> {
        let (mut keys, mut cursor) = (Vec::new(), None);
        for _ in 0..10_000 {
            let mut scan = scan.clone();
            scan.page = page;
            scan.cursor = cursor.take();
            let found = self.process.scan(scan).expect("scan");
            keys.extend(found.keys);
            match found.next {
                Some(next) => cursor = Some(next),
                None => {
                    keys.sort();
                    return keys;
                }
            }
        }
        panic!("the scan came to no end");
    }
}

/// A backend as one process opened it, called in the same way whether it is async or blocking.
pub(super) struct Process {
    backend: AnyBackend,
    runtime: Arc<Runtime>,
}

enum AnyBackend {
    Async(Arc<dyn Backend>),
    Blocking(Arc<dyn LocalBackend>),
}

impl Process {
    fn start(make: &Make, runtime: &Arc<Runtime>, clock: Option<&ManualClock>) -> Process {
        let clock: Arc<dyn Clock> = match clock {
            Some(clock) => Arc::new(clock.clone()),
            None => Arc::new(SystemClock),
        };
        let _entered = runtime.enter();
        let backend = match make(Context::new("conformance", clock, Arc::new(Recorder::new()))) {
            Built::Bytes(backend) => AnyBackend::Async(backend),
            Built::Local(backend) => AnyBackend::Blocking(backend),
            other => panic!("{other:?} keeps no bytes"),
        };
        Process { backend, runtime: runtime.clone() }
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        match &self.backend {
            AnyBackend::Async(backend) => &**backend,
            AnyBackend::Blocking(_) => panic!("this case needs an async backend"),
        }
    }

    pub(super) fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.read(key, read)),
            AnyBackend::Blocking(backend) => backend.read(key, read),
        }
    }

    /// Stores bytes as the engine does: on a fence by `store`, all else by `store_with`, as a backend with fences gets no
    /// other store over its network.
    pub(super) fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        match (&self.backend, terms.when) {
            (AnyBackend::Async(backend), StoreCondition::Fenced(_)) => {
                self.runtime.block_on(backend.store(key, entry, terms))
            }
            (AnyBackend::Async(_), _) => self.store_with(key, &mut |_| Ok(entry.clone()), terms),
            (AnyBackend::Blocking(backend), _) => backend.store(key, entry, terms),
        }
    }

    /// Stores bytes that contain the versions of their groups.
    pub(super) fn store_with(&self, key: &str, seal: &mut Seal<'_>, terms: StoreOptions<'_>) -> Result<Stored> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.store_with(key, seal, terms)),
            AnyBackend::Blocking(backend) => backend.store_with(key, seal, terms),
        }
    }

    pub(super) fn try_out(&self, key: &str) -> Result<()> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.try_out(key)),
            AnyBackend::Blocking(backend) => backend.try_out(key),
        }
    }

    pub(super) fn remove(&self, key: &str) -> Result<bool> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.remove(key)),
            AnyBackend::Blocking(backend) => backend.remove(key),
        }
    }

    pub(super) fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.remove_live(key, check)),
            AnyBackend::Blocking(backend) => backend.remove_live(key, check),
        }
    }

    pub(super) fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.remove_many(keys)),
            AnyBackend::Blocking(backend) => backend.remove_many(keys),
        }
    }

    pub(super) fn renew(&self, key: &str, fence: Fence, lease: Duration) -> Result<bool> {
        self.runtime.block_on(self.backend().renew(key, fence, lease))
    }

    pub(super) fn release(&self, key: &str, fence: Fence) -> Result<bool> {
        self.runtime.block_on(self.backend().release(key, fence))
    }

    /// Returns whether the entry of a key may be served, as lists are judged.
    pub(super) fn reads_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(check.reads(backend.as_ref(), key)),
            AnyBackend::Blocking(backend) => check.reads_at_once(backend.as_ref(), key),
        }
    }

    pub(super) fn health(&self) -> Result<()> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.health()),
            AnyBackend::Blocking(backend) => backend.health(),
        }
    }

    pub(super) fn scan(&self, scan: Scan) -> Result<Page> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.scan(scan)),
            AnyBackend::Blocking(backend) => backend.scan(scan),
        }
    }

    pub(super) fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        match &self.backend {
            AnyBackend::Async(backend) => match backend.versions() {
                Some(versions) => self.runtime.block_on(versions.raise(group, strength)),
                None => Err(Error::new(ErrorKind::Unsupported, "no versions")),
            },
            AnyBackend::Blocking(backend) => backend.raise(group, strength),
        }
    }

    pub(super) fn close(&self) -> Result<()> {
        match &self.backend {
            AnyBackend::Async(backend) => self.runtime.block_on(backend.close()),
            AnyBackend::Blocking(backend) => backend.close(),
        }
    }

    pub(super) fn peek(&self, key: &str) -> Option<Bytes> {
        self.read(key, Read::peek()).expect("read").entry
    }

    pub(super) fn fence(&self, key: &str) -> Fence {
        let snapshot = self.read(key, Read::take(LEASE)).expect("read that takes");
        snapshot.fence.expect("a fence, as declared")
    }

    pub(super) fn put(&self, key: &str, entry: &'static str, when: StoreCondition) -> Stored {
        self.store(key, Bytes::from(entry), StoreOptions::new(when)).expect("store")
    }
}
