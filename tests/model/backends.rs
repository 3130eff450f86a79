//! The backends under test: real ones, that stop between their steps, and ones with a planted fault.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use retainit::{Error, MemoryConfig, Result};
use retainit_plugin::{
    Backend, BackendConfig, Built, Bytes, CachedEntry, Capabilities, Context, EntryAddress, EntryRef, Fence,
    GroupVersion, InsertMode, Inserted, LocalBackend, Moment, NewEntry, ObjectBackend, ObjectFence, Page, Read,
    RemovalCause, Scan, Section, Settings, Snapshot, StoreCondition, StoreOptions, Stored, Strength, Versions, Visit,
    WantedFence, async_trait,
};
use retainit_testkit::{ByteBackend, ByteConfig};

use crate::needless::Entries;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Memory, under this policy.
    Memory(&'static str),
    Bytes,
    /// Bytes, blocking.
    Local,
    /// Bytes, blocking, without cancellation of a store that was given up.
    LocalWithoutCancellation,
}

/// A defect planted in a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    None,
    /// A fill is stored although its fence was broken.
    IgnoresFences,
    /// A removal leaves the fence valid.
    RemoveKeepsFence,
    /// A `set` leaves the fence valid.
    SetKeepsFence,
    /// A removal by pattern leaves every fence valid.
    BreaksNoFences,
    /// Versions of groups stay as they are.
    RaisesNothing,
    /// A store happens although its caller has given it up.
    DeafToCancellation,
    /// A store on a fence goes into an empty slot, although the placeholder was removed.
    AbsenceIsAFence,
    /// The fence is taken after the load.
    TakesAfterTheLoad,
    /// The load begins before the take has been executed: that happens behind the next operation.
    BeginsBeforeTheTake,
    /// An insert is counted after it has broken the fence and is visible.
    CountsLate,
}

thread_local! {
    /// The sync operation this thread is there for, which may be stopped.
    pub(crate) static OPERATION: Cell<Option<u64>> = const { Cell::new(None) };
}

/// A configuration of one of them.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) kind: Kind,
    pub(crate) plant: Plant,
    pub(crate) world: Weak<World>,
    /// Configuration of those that keep bytes.
    pub(crate) bytes: ByteConfig,
}

impl Section for Config {}

impl BackendConfig for Config {
    fn type_name(&self) -> &'static str {
        "model"
    }

    fn settings(&self) -> Settings {
        Settings::default()
    }

    fn build(&self, context: Context) -> Result<Built> {
        let (world, plant) = (Weak::clone(&self.world), self.plant);
        let inner = match self.kind {
            Kind::Memory(policy) => match MemoryConfig::new().policy(policy).build(context)? {
                Built::Object(inner) => return Ok(Built::Object(Arc::new(Memory::new(inner, plant, world)))),
                other => return Err(Error::new(retainit::ErrorKind::Config, format!("{other:?}"))),
            },
            Kind::Bytes | Kind::Local | Kind::LocalWithoutCancellation => Arc::new(self.bytes.open(&context)),
        };
        let (late, next) = Default::default();
        let backend = Arc::new(ByteStore { inner, plant, world, late, next });
        Ok(if self.kind == Kind::Bytes { Built::Bytes(backend) } else { Built::Local(backend) })
    }

    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

// -------------------------------------------------------------------------------------------------------- objects

/// A memory backend. On threads of sync operations it stops before and after what it does; the tasks are driven from
/// one thread, which must not.
#[derive(Debug)]
struct Memory {
    inner: Arc<dyn ObjectBackend>,
    plant: Plant,
    world: Weak<World>,
    /// The count of inserts where it is a planted one.
    late: AtomicU64,
}

/// Tells a visitor the planted count of inserts.
struct ToldLate<'a> {
    visit: &'a mut dyn Visit,
    inserts: u64,
}

impl Visit for ToldLate<'_> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        self.visit.visit(key, cached)
    }

    fn absent(&mut self, place: EntryAddress, _: u64) {
        self.visit.absent(place, self.inserts);
    }
}

impl Memory {
    fn new(inner: Arc<dyn ObjectBackend>, plant: Plant, world: Weak<World>) -> Memory {
        Memory { inner, plant, world, late: AtomicU64::new(0) }
    }

    fn entries(&self, tell: impl FnOnce(&mut Entries, u64)) {
        if let Some(world) = self.world.upgrade() {
            world.entries(tell);
        }
    }

    fn stop(&self, place: &str) {
        if OPERATION.get().is_some()
            && let Some(world) = self.world.upgrade()
        {
            world.stop_blocking(place);
        }
    }
}

impl ObjectBackend for Memory {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn get(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        let found = match self.plant {
            Plant::CountsLate => {
                let inserts = self.late.load(Ordering::SeqCst);
                self.inner.get(place, &mut ToldLate { visit, inserts })
            }
            _ => self.inner.get(place, visit),
        };
        self.stop("after a lookup");
        found
    }

    fn peek(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.inner.peek(place, visit)
    }

    fn fence(&self, place: EntryAddress) -> ObjectFence {
        self.entries(|entries, operation| entries.look(operation, place));
        let fence = self.inner.fence(place);
        self.stop("after taking the fence");
        fence
    }

    fn inserts(&self, place: EntryAddress) -> Option<u64> {
        let inserts = match self.plant {
            Plant::CountsLate => Some(self.late.load(Ordering::SeqCst)),
            _ => self.inner.inserts(place),
        };
        self.stop("after asking what was put in");
        inserts
    }

    fn insert(&self, entry: NewEntry<'_>, put: InsertMode<'_>) -> Inserted {
        self.stop("before an insert");
        let put = match (self.plant, put) {
            (Plant::IgnoresFences, InsertMode::Fenced(_)) => InsertMode::Always,
            (Plant::SetKeepsFence, InsertMode::Always) => InsertMode::Fenced(self.inner.fence(entry.address)),
            (_, put) => put,
        };
        let place = entry.address;
        let inserted = self.inner.insert(entry, put);
        if inserted == Inserted::Yes {
            self.entries(|entries, _| entries.put(place));
        }
        self.stop("after an insert");
        self.late.fetch_add(1, Ordering::SeqCst);
        inserted
    }

    fn remove(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.stop("before a removal");
        self.entries(|entries, _| entries.remove(place));
        let removed = match self.plant {
            Plant::RemoveKeepsFence => {
                let is_it = |entry: &EntryRef<'_>| entry.site == place.site;
                let mut remove = |entry: EntryRef<'_>| {
                    (is_it(&entry) && visit.visit(entry.key, entry.cached)).then_some(RemovalCause::Removed)
                };
                self.inner.retain(&mut remove) > 0
            }
            _ => self.inner.remove(place, visit),
        };
        self.stop("after a removal");
        removed
    }

    fn break_fences(&self) {
        if self.plant != Plant::BreaksNoFences {
            self.inner.break_fences();
        }
        self.stop("after breaking fences");
    }

    fn retain(&self, keep: &mut dyn FnMut(EntryRef<'_>) -> Option<RemovalCause>) -> usize {
        self.entries(|entries, _| entries.forget());
        self.inner.retain(keep)
    }

    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        self.inner.scan(visit);
    }

    fn weighs(&self) -> bool {
        self.inner.weighs()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn next_deadline(&self) -> Moment {
        self.inner.next_deadline()
    }
}

// ---------------------------------------------------------------------------------------------------------- bytes

/// The testkit's byte backend, that stops before and after each operation.
#[derive(Debug)]
struct ByteStore {
    inner: Arc<ByteBackend>,
    plant: Plant,
    world: Weak<World>,
    /// Takes that were answered and are not executed yet, or late.
    late: Mutex<Vec<LateTake>>,
    next: AtomicU64,
}

/// A take with the fence that was answered, and the one that was taken.
#[derive(Clone, Debug)]
struct LateTake {
    key: String,
    answered: Fence,
    taken: Option<Fence>,
}

const LEASE: Duration = Duration::from_secs(3_600);

impl ByteStore {
    async fn around<T>(&self, what: &str, act: impl Future<Output = Result<T>>) -> Result<T> {
        let world = self.world.upgrade();
        if let Some(world) = &world {
            world.stop(&format!("before {what}")).await;
        }
        let result = act.await;
        if let Some(world) = &world {
            world.stop(&format!("after {what}")).await;
            world.backend_ended();
        }
        result
    }

    fn around_blocking<T>(&self, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let world = self.world.upgrade();
        if let Some(world) = &world {
            world.stop_blocking(&format!("before {what}"));
        }
        let result = act();
        if let Some(world) = &world {
            world.stop_blocking(&format!("after {what}"));
            world.backend_ended();
        }
        result
    }

    /// Answers a take of an empty slot before it is executed.
    async fn take_late(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        let versions = Backend::read(&*self.inner, "elsewhere", Read::take(LEASE).groups(read.groups)).await?.versions;
        let mut found = Backend::read(&*self.inner, key, Read::seen()).await?;
        found.versions = versions;
        if found.fence.is_none() {
            let answered = Fence::number(self.next.fetch_add(1, Ordering::SeqCst));
            self.late.lock().unwrap().push(LateTake { key: key.to_owned(), answered, taken: None });
            found.fence = Some(answered);
        }
        Ok(found)
    }

    /// Executes a take that was answered before, and returns its fence.
    async fn execute(&self, late: LateTake) -> Result<Fence> {
        let found = Backend::read(&*self.inner, &late.key, Read::take(LEASE)).await?;
        let taken = found.fence.unwrap();
        self.late.lock().unwrap().iter_mut().filter(|other| other.answered == late.answered).for_each(|other| {
            other.taken = Some(taken);
        });
        Ok(taken)
    }

    /// Executes what was answered before the operation that ends now.
    async fn execute_late(&self) -> Result<()> {
        if self.plant == Plant::BeginsBeforeTheTake {
            let late: Vec<_> = self.late.lock().unwrap().iter().filter(|late| late.taken.is_none()).cloned().collect();
            for late in late {
                self.execute(late).await?;
            }
        }
        Ok(())
    }

    async fn planted_store(&self, key: &str, terms: &mut StoreOptions<'_>) -> Result<()> {
        let StoreCondition::Fenced(fence) = terms.when else { return Ok(()) };
        if self.plant == Plant::AbsenceIsAFence && Backend::read(&*self.inner, key, Read::seen()).await?.fence.is_none()
        {
            terms.when = StoreCondition::Always;
        }
        let late = self.late.lock().unwrap().iter().find(|late| late.answered == fence).cloned();
        match late {
            Some(LateTake { taken: Some(taken), .. }) => terms.when = StoreCondition::Fenced(taken),
            Some(late) => terms.when = StoreCondition::Fenced(self.execute(late).await?),
            None => {}
        }
        Ok(())
    }

    fn planted<'a>(&self, mut terms: StoreOptions<'a>) -> StoreOptions<'a> {
        if self.plant == Plant::DeafToCancellation {
            terms.cancelled = None;
        }
        if self.plant == Plant::IgnoresFences && matches!(terms.when, StoreCondition::Fenced(_)) {
            terms.when = StoreCondition::Always;
        }
        terms
    }
}

#[async_trait]
impl Backend for ByteStore {
    fn capabilities(&self) -> Capabilities {
        Backend::capabilities(&*self.inner)
    }

    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        match (self.plant, read.fence) {
            (Plant::TakesAfterTheLoad | Plant::BeginsBeforeTheTake, WantedFence::Take(_)) => {
                self.around("a take", self.take_late(key, read)).await
            }
            _ => self.around("a read", Backend::read(&*self.inner, key, read)).await,
        }
    }

    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        let store = async {
            let mut terms = self.planted(terms);
            self.planted_store(key, &mut terms).await?;
            Backend::store(&*self.inner, key, entry, terms).await
        };
        self.around("a store", store).await
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        let remove = async {
            let removed = Backend::remove(&*self.inner, key).await?;
            self.execute_late().await?;
            Ok(removed)
        };
        self.around("a removal", remove).await
    }

    async fn health(&self) -> Result<()> {
        Backend::health(&*self.inner).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.around("a scan", Backend::scan(&*self.inner, scan)).await
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }

    async fn close(&self) -> Result<()> {
        Backend::close(&*self.inner).await
    }
}

#[async_trait]
impl Versions for ByteStore {
    async fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        if self.plant == Plant::RaisesNothing {
            return Ok(GroupVersion { hard: 1, soft: 1 });
        }
        self.around("an increment", Versions::raise(&*self.inner, group, strength)).await
    }
}

impl LocalBackend for ByteStore {
    fn capabilities(&self) -> Capabilities {
        LocalBackend::capabilities(&*self.inner)
    }

    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.around_blocking("a read", || LocalBackend::read(&*self.inner, key, read))
    }

    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.around_blocking("a store", || LocalBackend::store(&*self.inner, key, entry, self.planted(terms)))
    }

    fn remove(&self, key: &str) -> Result<bool> {
        self.around_blocking("a removal", || LocalBackend::remove(&*self.inner, key))
    }

    fn health(&self) -> Result<()> {
        LocalBackend::health(&*self.inner)
    }

    fn scan(&self, scan: Scan) -> Result<Page> {
        self.around_blocking("a scan", || LocalBackend::scan(&*self.inner, scan))
    }

    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        if self.plant == Plant::RaisesNothing {
            return Ok(GroupVersion { hard: 1, soft: 1 });
        }
        self.around_blocking("an increment", || LocalBackend::raise(&*self.inner, group, strength))
    }

    fn close(&self) -> Result<()> {
        LocalBackend::close(&*self.inner)
    }
}
