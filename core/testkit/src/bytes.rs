use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use retainit_plugin::{
    Backend, BackendConfig, Built, Bytes, Capabilities, Clock, Context, Error, ErrorKind, Fence, GroupVersion, IntoTtl,
    LivenessCheck, LocalBackend, Page, Read, Result, Scan, Section, Settings, Snapshot, StoreCondition, StoreOptions,
    Stored, Strength, Versions, WantedFence, async_trait,
};

use crate::store::FenceShape;
use crate::{ByteStore, Faults, Op};

const EVERY_ABILITY: Capabilities = Capabilities::none()
    .fences()
    .versions()
    .scan()
    .set_if_absent()
    .native_ttl()
    .shared()
    .persistent()
    .cancellation()
    .leases();

/// The configuration of a [`ByteBackend`].
///
/// A clone is the same process: it has the same store and the same [`faults`](ByteConfig::faults).
/// [`share`](ByteConfig::share) gives that of another process on the same store.
///
/// ```
/// use std::time::Duration;
///
/// use retainit_testkit::{ByteConfig, ManualClock, Op};
///
/// let clock = ManualClock::new();
/// let one = ByteConfig::new().clock(clock.clone()).ttl("5m");
/// let other = one.share();
///
/// one.faults().fail_always(Op::All); // only `one` has lost its connection
/// one.store().faults().delay(Op::Read, Duration::from_millis(3)); // the server is slow for both
/// # let _ = other;
/// ```
#[derive(Clone, Debug)]
pub struct ByteConfig {
    store: ByteStore,
    link: Faults,
    capabilities: Capabilities,
    settings: Settings,
    problem: Option<String>,
    blocking: bool,
    long_fences: bool,
}

impl ByteConfig {
    /// Configures a process on a store of its own.
    pub fn new() -> ByteConfig {
        ByteConfig::on(&ByteStore::new())
    }

    /// Configures a process on `store`.
    pub fn on(store: &ByteStore) -> ByteConfig {
        ByteConfig {
            store: store.clone(),
            link: Faults::new(),
            capabilities: EVERY_ABILITY,
            settings: Settings::default(),
            problem: None,
            blocking: false,
            long_fences: false,
        }
    }

    /// Configures another process on the same store: the same settings, but faults and counters of its own.
    #[must_use]
    pub fn share(&self) -> ByteConfig {
        ByteConfig { link: Faults::new(), ..self.clone() }
    }

    /// Lets the store, and so every process on it, go by this clock. By default it goes by the clock of the instance
    /// that built a backend on it first.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> ByteConfig {
        self.store.set_clock(Arc::new(clock));
        self
    }

    /// Sets the time for which results of functions on this backend are fresh. Not set by default.
    #[must_use]
    pub fn ttl(mut self, ttl: impl IntoTtl) -> ByteConfig {
        match ttl.into_ttl() {
            Ok(ttl) => self.settings.ttl = Some(ttl),
            Err(error) => self.note(format!("ttl: {error:#}")),
        }
        self
    }

    /// Sets the largest fraction by which a ttl is shortened, from 0 to 1. Not set by default.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> ByteConfig {
        if (0.0..=1.0).contains(&jitter) {
            self.settings.jitter = Some(jitter);
        } else {
            self.note(format!("jitter: {jitter} does not lie between 0 and 1"));
        }
        self
    }

    /// Sets the longest time that a call waits for this backend. Default: the instance's.
    #[must_use]
    pub fn op_timeout(mut self, op_timeout: Duration) -> ByteConfig {
        self.settings.op_timeout = Some(op_timeout);
        self
    }

    /// Sets the number of calls without an answer, one after the other, that open the breaker; 0 for no breaker. Default:
    /// 5.
    #[must_use]
    pub fn breaker_threshold(mut self, threshold: u64) -> ByteConfig {
        self.settings.breaker_threshold = Some(threshold);
        self
    }

    /// Sets the time from the opening of the breaker to the probe. Default: 60 s.
    #[must_use]
    pub fn breaker_timeout(mut self, timeout: Duration) -> ByteConfig {
        self.settings.breaker_timeout = Some(timeout);
        self
    }

    /// Sets the declared capabilities; everything by default. The backend refuses what is not declared with
    /// [`ErrorKind::Unsupported`], gives no fence without [`Capabilities::fences`], and keeps entries past their ttl
    /// without [`Capabilities::native_ttl`].
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> ByteConfig {
        self.capabilities = capabilities;
        self
    }

    /// Builds a blocking backend, a [`Built::Local`], instead of an async one.
    #[must_use]
    pub fn blocking(mut self) -> ByteConfig {
        self.blocking = true;
        self
    }

    /// Gives out fences that are as long as a fence may be, instead of numbers. Processes on one store have to agree.
    #[must_use]
    pub fn long_fences(mut self) -> ByteConfig {
        self.long_fences = true;
        self
    }

    /// Returns the store.
    pub fn store(&self) -> ByteStore {
        self.store.clone()
    }

    /// Returns the faults of this process's connection, and the counters of its calls. Those of the server are at
    /// [`ByteStore::faults`].
    pub fn faults(&self) -> Faults {
        self.link.clone()
    }

    /// Opens the backend itself, for a test that calls it directly.
    pub fn open(&self, context: &Context) -> ByteBackend {
        self.store.offer_clock(&context.clock);
        ByteBackend {
            name: context.name.clone(),
            store: self.store.clone(),
            link: self.link.clone(),
            server: self.store.faults(),
            capabilities: self.capabilities,
            fences: match (self.capabilities.has_fences(), self.long_fences) {
                (false, _) => FenceShape::None,
                (true, false) => FenceShape::Number,
                (true, true) => FenceShape::Long,
            },
            closed: AtomicBool::new(false),
        }
    }

    fn note(&mut self, problem: String) {
        self.problem = Some(match self.problem.take() {
            Some(earlier) => format!("{earlier}; {problem}"),
            None => problem,
        });
    }
}

impl Default for ByteConfig {
    fn default() -> ByteConfig {
        ByteConfig::new()
    }
}

impl Section for ByteConfig {}

impl BackendConfig for ByteConfig {
    fn type_name(&self) -> &'static str {
        "bytes"
    }

    fn settings(&self) -> Settings {
        self.settings.clone()
    }

    fn build(&self, context: Context) -> Result<Built> {
        if let Some(problem) = &self.problem {
            let error = Error::new(ErrorKind::Config, problem.clone());
            return Err(error.with_context("backend", &*context.name));
        }
        let backend = Arc::new(self.open(&context));
        Ok(if self.blocking { Built::Local(backend) } else { Built::Bytes(backend) })
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

/// A byte backend in memory with every ability of the contract and faults on demand.
///
/// It is what Redis is to an engine, as [`ByteConfig`] builds it: fences are random generations of placeholders and
/// values, versions begin at random bases. It is also the example to follow: one store, a thin async adapter and a thin
/// blocking one.
#[derive(Debug)]
pub struct ByteBackend {
    name: Arc<str>,
    store: ByteStore,
    link: Faults,
    server: Faults,
    capabilities: Capabilities,
    fences: FenceShape,
    closed: AtomicBool,
}

impl ByteBackend {
    /// Performs one call of the async adapter. Nothing happens before its only `await`s are over, so a future that is
    /// dropped at any of them has done nothing.
    async fn call<T>(&self, op: Op, act: impl FnOnce(&ByteStore) -> Result<T> + Send) -> Result<T> {
        self.open()?;
        let link = self.named(self.link.admit(op).await)?;
        let server = self.named(self.server.admit(op).await)?;
        self.named(link.deliver(op, server.deliver(op, act(&self.store))))
    }

    fn call_blocking<T>(&self, op: Op, wait: Option<Duration>, act: impl FnOnce(&ByteStore) -> Result<T>) -> Result<T> {
        self.open()?;
        let link = self.named(self.link.admit_blocking(op, wait))?;
        let server = self.named(self.server.admit_blocking(op, wait))?;
        self.named(link.deliver(op, server.deliver(op, act(&self.store))))
    }

    fn open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return self.named(Err(Error::new(ErrorKind::Closed, "the backend was closed")));
        }
        Ok(())
    }

    fn named<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| error.with_context("backend", &*self.name))
    }

    fn offers(&self, offered: bool, what: &'static str) -> Result<()> {
        if offered {
            return Ok(());
        }
        let message = format!("this backend does not offer `{what}`");
        self.named(Err(Error::new(ErrorKind::Unsupported, message)))
    }

    fn allowed_read<'a>(&self, read: Read<'a>) -> Result<Read<'a>> {
        self.offers(self.capabilities.has_versions() || read.groups.is_empty(), "versions")?;
        Ok(read)
    }

    fn allowed_terms<'a>(&self, mut terms: StoreOptions<'a>) -> Result<StoreOptions<'a>> {
        match terms.when {
            StoreCondition::Fenced(_) => self.offers(self.capabilities.has_fences(), "fences")?,
            StoreCondition::Absent => self.offers(self.capabilities.has_set_if_absent(), "set_if_absent")?,
            _ => {}
        }
        terms.ttl = terms.ttl.filter(|_| self.capabilities.has_native_ttl());
        Ok(terms)
    }
}

#[async_trait]
impl Backend for ByteBackend {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        let read = self.allowed_read(read)?;
        self.call(op_of(&read), |store| Ok(store.read(key, read, self.fences))).await
    }

    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        let terms = self.allowed_terms(terms)?;
        self.call(Op::Store, |store| store.store(key, entry, &terms, self.fences)).await
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        self.call(Op::Remove, |store| Ok(store.remove(key))).await
    }

    async fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        self.call(Op::Remove, |store| Ok(store.remove_live(key, check))).await
    }

    async fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        self.call(Op::Remove, |store| Ok(store.remove_many(keys))).await
    }

    async fn renew(&self, key: &str, fence: Fence, lease: Duration) -> Result<bool> {
        self.offers(self.capabilities.has_leases(), "leases")?;
        self.call(Op::Renew, |store| Ok(store.lease(key, fence, Some(lease), self.fences))).await
    }

    async fn release(&self, key: &str, fence: Fence) -> Result<bool> {
        self.offers(self.capabilities.has_leases(), "leases")?;
        self.call(Op::Release, |store| Ok(store.lease(key, fence, None, self.fences))).await
    }

    async fn health(&self) -> Result<()> {
        self.call(Op::Health, |_| Ok(())).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.offers(self.capabilities.has_scan(), "scan")?;
        self.call(Op::Scan, |store| Ok(store.scan(&scan))).await
    }

    fn versions(&self) -> Option<&dyn Versions> {
        if self.capabilities.has_versions() { Some(self) } else { None }
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

#[async_trait]
impl Versions for ByteBackend {
    async fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        self.call(Op::Raise, |store| Ok(store.raise(group, strength))).await
    }
}

impl LocalBackend for ByteBackend {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        let read = self.allowed_read(read)?;
        self.call_blocking(op_of(&read), read.wait, |store| Ok(store.read(key, read, self.fences)))
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        let terms = self.allowed_terms(terms)?;
        self.call_blocking(Op::Store, terms.wait, |store| store.store(key, entry, &terms, self.fences))
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.call_blocking(Op::Remove, None, |store| Ok(store.remove(key)))
    }

    fn remove_live(&self, key: &str, check: &dyn LivenessCheck) -> Result<bool> {
        self.call_blocking(Op::Remove, None, |store| Ok(store.remove_live(key, check)))
    }

    fn remove_many(&self, keys: &[&str]) -> Result<u64> {
        self.call_blocking(Op::Remove, None, |store| Ok(store.remove_many(keys)))
    }

    fn health(&self) -> Result<()> {
        self.call_blocking(Op::Health, None, |_| Ok(()))
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        self.offers(self.capabilities.has_scan(), "scan")?;
        self.call_blocking(Op::Scan, None, |store| Ok(store.scan(&scan)))
    }

    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        self.offers(self.capabilities.has_versions(), "versions")?;
        self.call_blocking(Op::Raise, None, |store| Ok(store.raise(group, strength)))
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
}

fn op_of(read: &Read<'_>) -> Op {
    if matches!(read.fence, WantedFence::Take(_)) { Op::Take } else { Op::Read }
}
