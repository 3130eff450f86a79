//! Implements single-flight: one load per missing key, however many callers ask.
//!
//! A leader polls its own loader in place: no task is spawned, borrowed arguments work, and any executor will do. The
//! table has a small entry per load; the shared [`Flight`] is made only when a follower comes. A leader that is
//! dropped, panics, starves or takes too long loses the lead to the first follower that looks, which runs its own
//! loader.
//!
//! Locks are taken in the order shard, flight, watch. Wakers are called and dropped outside all of them: a waker may
//! own the task that is waiting, whose destructor takes these locks.

mod cycles;
mod follow;
mod lead;
mod loads;
mod shared;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, Fence, GroupVersion, Moment, ObjectFence, Process};
use smallvec::SmallVec;

pub(crate) use cycles::LoadStack;
pub(crate) use follow::{Follow, FollowParts};
use lead::Watch;
pub(crate) use lead::{Lead, LeadParts};
use loads::Loads;
use shared::Flight;

/// The identity of one lead, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u64);

/// The next bundle of numbers. Threads take numbers in bundles: every miss would contend for one shared counter.
static NEXT_BUNDLE: AtomicU64 = AtomicU64::new(1);
const BUNDLE: u64 = 1 << 16;

thread_local! {
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

impl Id {
    /// Returns a new identity. A load that nobody can join has one too, by which calls inside it know that they are
    /// inside a load.
    pub(crate) fn new() -> Id {
        let bundle = || NEXT_BUNDLE.fetch_add(1, Ordering::Relaxed) * BUNDLE;
        let next = |of_thread: &Cell<u64>| {
            let next = Some(of_thread.get()).filter(|next| next % BUNDLE != 0).unwrap_or_else(bundle);
            of_thread.set(next + 1);
            next
        };
        Id(NEXT_ID.try_with(next).unwrap_or_else(|_| bundle()))
    }
}

/// State that a caller reads before its load begins: a load is valid for callers with an equal ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The instance epoch.
    pub(crate) epoch: u64,
    /// The fence of the slot, if the store has fences and could be asked.
    pub(crate) fence: Option<TicketFence>,
    /// Versions of groups in a shared store.
    pub(crate) versions: Box<[Option<GroupVersion>]>,
    /// Number of removals from the store by this process so far; used without a fence.
    pub(crate) removals: u64,
}

/// Fence of a ticket. That of a byte store is boxed, since misses in memory copy tickets too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TicketFence {
    Object(ObjectFence),
    Slot(Box<Fence>),
}

impl From<Fence> for TicketFence {
    fn from(fence: Fence) -> TicketFence {
        TicketFence::Slot(Box::new(fence))
    }
}

impl Ticket {
    /// Returns whether nothing was removed between the two tickets: single keys as far as fences show it, and groups in
    /// a shared store. The instance epoch is compared with the epochs of the caller's tags instead.
    pub(crate) fn agrees(&self, other: &Ticket) -> bool {
        self.fence == other.fence && self.versions == other.versions && self.removals == other.removals
    }
}

/// Key of a load in the table of flights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightKey<'a> {
    /// The hash of the key, well mixed.
    pub(crate) hash: u64,
    /// Fingerprint of the plan and the tags: function, backend and every option that changes the stored entry.
    pub(crate) plan: u64,
    /// The key's canonical bytes.
    pub(crate) key: &'a [u8],
}

/// Result that a leader hands to its followers.
#[derive(Clone)]
pub(crate) enum FlightResult {
    /// A value in its stored form.
    Value(Arc<dyn Any + Send + Sync>),
    /// A whole result that can be shared: an error, or a value that is not stored.
    Whole(Arc<dyn Any + Send + Sync>),
    /// A result that cannot be cloned. Followers run on their own, a few side by side.
    Unshared,
    /// The leader has found an entry, which may be older than some of those who follow: all look again.
    LookAgain,
}

impl fmt::Debug for FlightResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlightResult::Value(_) => "Value",
            FlightResult::Whole(_) => "Whole",
            FlightResult::Unshared => "Unshared",
            FlightResult::LookAgain => "LookAgain",
        })
    }
}

const SHARDS: usize = 64;

/// The loads under way in one instance.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[FlightShard]>,
    clock: Arc<dyn Clock>,
    /// The process that made the table. A load that forks also ends in the child, where the table may be locked for
    /// ever by a thread of the parent.
    process: Process,
}

/// In cache lines of its own: threads that load different keys do not take them from each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct FlightShard {
    table: Mutex<Loads>,
    /// Number of loads that have ended in this shard. A caller that read a byte store before an end and joins after it
    /// has to read again. Written under the lock, read without it.
    ended: AtomicU64,
    /// Number of the last load that has begun in this shard after a look into a byte store. Written under the lock, read
    /// without it.
    begun: AtomicU64,
}

impl FlightShard {
    /// Returns the number of a load that begins now. The table is locked.
    fn begin(&self) -> u64 {
        let number = self.begun.load(Ordering::Relaxed) + 1;
        self.begun.store(number, Ordering::Release);
        number
    }
}

#[derive(Debug)]
struct FlightEntry {
    id: Id,
    hash: u64,
    plan: u64,
    key: SmallVec<[u8; 24]>,
    ticket: Ticket,
    /// Number of the load, see [`Look`]; [`NOT_BEGUN`] while the leader takes its fence.
    begun: u64,
    started: Moment,
    /// Set by an invalidation: present followers still get the value, new callers do not join.
    detached: bool,
    flight: Option<Arc<Flight>>,
    /// Watch of the first leader, if it is async.
    watch: Weak<Watch>,
}

/// Role of a caller in the load of its key.
#[derive(Debug)]
pub(crate) enum Role<'f> {
    /// Load, and store the result if the ticket is still valid.
    Lead(Lead<'f>),
    /// Wait for a load that began under the same ticket.
    Follow(Follow<'f>),
    /// Run the function and store nothing: waiting would close a cycle of loads that wait for each other.
    Inline,
}

/// Outcome of waiting for a load: its result, or the lead.
#[derive(Debug)]
pub(crate) enum Got<'f> {
    FlightResult(FlightResult),
    Lead(Lead<'f>),
}

/// Number of a load that has not begun.
const NOT_BEGUN: u64 = u64::MAX;

/// Look of a caller into its store, as far as it decides which loads the caller may follow: those that begin after the
/// caller did, whatever it has seen, and those that began before under an equal ticket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Number of the last load that had begun before the look, see [`Flights::begun`].
    pub(crate) begun: u64,
    /// True if the caller has to take a fence before its load can begin.
    pub(crate) takes: bool,
}

impl Look {
    /// The look into a store that answers at once: tickets decide alone.
    pub(crate) const AT_ONCE: Look = Look { begun: NOT_BEGUN, takes: false };
}

/// Limits of a load, and what enforces them.
#[derive(Debug)]
pub(crate) struct LoadLimits<'a> {
    /// True if the leader is async: its task is watched for starvation.
    pub(crate) watched: bool,
    pub(crate) max_load_time: Duration,
    pub(crate) abandoned: &'a Arc<AtomicUsize>,
    pub(crate) timers: &'a Arc<crate::runtime::Timers>,
}

#[derive(Clone, Copy, Debug)]
struct At {
    id: Id,
    hash: u64,
}

impl Flights {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Flights {
        Flights { shards: (0..SHARDS).map(|_| FlightShard::default()).collect(), clock, process: Process::current() }
    }

    fn shard(&self, hash: u64) -> &FlightShard {
        &self.shards[(hash >> 20) as usize % SHARDS]
    }

    /// Returns the number of loads that have ended in this key's shard.
    pub(crate) fn ended(&self, hash: u64) -> u64 {
        self.shard(hash).ended.load(Ordering::Acquire)
    }

    /// Returns the number of the last load that has begun in this key's shard.
    pub(crate) fn begun(&self, hash: u64) -> u64 {
        self.shard(hash).begun.load(Ordering::Acquire)
    }

    /// Joins the load of a key, or begins one.
    ///
    /// `valid` returns whether a load that began under a ticket may answer this caller.
    pub(crate) fn join<'f>(
        &'f self,
        key: FlightKey<'_>,
        ticket: &Ticket,
        look: Look,
        limits: &LoadLimits<'f>,
        valid: impl Fn(&Ticket) -> bool,
    ) -> Role<'f> {
        // Finding and inserting under one lock: of two callers that miss at once, one has to see the entry of the
        // other.
        let shard = self.shard(key.hash);
        let mut table = shard.table.lock();
        let found = table.find_mut(key.hash, |e| !e.detached && e.plan == key.plan && *e.key == *key.key);
        if let Some(entry) = found {
            if entry.begun > look.begun || valid(&entry.ticket) {
                // The edges are noted before the wait begins. Of two loads that are about to wait for each other, the
                // second then finds the edge of the first, and runs inline.
                return match LoadStack::edges_to(entry.id) {
                    Ok(edges) => Role::Follow(Follow::new(self, entry, limits, edges)),
                    Err(cycles::Cycle) => Role::Inline,
                };
            }
            // The load began before an invalidation that this caller has seen. Its present followers began before too
            // and keep it; this caller starts anew, and later callers find the new load.
            entry.detached = true;
        }
        let at = At { id: Id::new(), hash: key.hash };
        let watch = limits.watched.then(|| Watch::new(&self.clock, Weak::new()));
        let entry = FlightEntry {
            id: at.id,
            hash: key.hash,
            plan: key.plan,
            key: SmallVec::from_slice(key.key),
            ticket: ticket.clone(),
            begun: match look {
                Look { takes: true, .. } => NOT_BEGUN,
                Look { begun: NOT_BEGUN, .. } => 0,
                _ => shard.begin(),
            },
            started: self.clock.now(),
            detached: false,
            flight: None,
            watch: watch.as_ref().map_or_else(Weak::new, Arc::downgrade),
        };
        table.insert(entry);
        drop(table);
        Role::Lead(Lead::new(self, at, 0, watch, limits.abandoned))
    }

    /// Takes an ended load out of the table and returns its shared part. `None` for a leader that has lost the lead.
    fn end(&self, at: At, number: u64) -> Option<Option<Arc<Flight>>> {
        let shard = self.shard(at.hash);
        let mut table = shard.table.lock();
        // Counted before the entry leaves the table, both under the lock: whoever joins after this finds the load gone
        // and the count changed, and reads the store again instead of loading what was just stored.
        shard.ended.store(shard.ended.load(Ordering::Relaxed) + 1, Ordering::Release);
        // A lost leader leaves the entry alone: it belongs to the load of the follower that took over.
        match &table.of(at)?.flight {
            Some(flight) if !flight.is_ended_by(number) => None,
            _ => Some(table.remove(at)?.flight),
        }
    }

    /// Returns the number of loads in the table.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.lock().len()).sum()
    }
}
