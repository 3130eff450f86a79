//! Single-flight: one load per missing key, whoever asks.
//!
//! A leader polls its own loader in place: no task is spawned, borrowed arguments work, any executor will do. The
//! table holds a small entry per load; the shared [`Flight`] is only made when a follower comes. A leader that is
//! dropped, panics, starves or takes too long leaves its place to the first follower that looks, which runs its own
//! loader.
//!
//! Locks are taken in the order shard, flight, watch. Wakers are called and dropped outside all of them, for they may
//! own the task that is waiting.

mod circles;
mod follow;
mod lead;
mod shared;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashTable;
use parking_lot::Mutex;
use retainit_plugin::{Clock, Fence, Moment, Version};
use smallvec::SmallVec;

pub(crate) use circles::{Chain, apart};
pub(crate) use follow::Follow;
pub(crate) use lead::Lead;
use lead::Watch;
pub(crate) use shared::Alarm;
use shared::Flight;

/// The identity of one lead, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u64);

/// Numbers are given to threads in bundles: one shared counter would be fought for by every miss.
static NEXT_BUNDLE: AtomicU64 = AtomicU64::new(1);
const BUNDLE: u64 = 1 << 16;

thread_local! {
    static NEXT_ID: Cell<u64> = const { Cell::new(0) };
}

impl Id {
    fn new() -> Id {
        let bundle = || NEXT_BUNDLE.fetch_add(1, Ordering::Relaxed) * BUNDLE;
        let next = |of_thread: &Cell<u64>| {
            let next = Some(of_thread.get()).filter(|next| next % BUNDLE != 0).unwrap_or_else(bundle);
            of_thread.set(next + 1);
            next
        };
        Id(NEXT_ID.try_with(next).unwrap_or_else(|_| bundle()))
    }
}

/// What a caller took before it began to load: a load is valid for callers whose ticket says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The instance's generation.
    pub(crate) generation: u64,
    /// The fence of the slot, if the store has fences and could be asked.
    pub(crate) fence: Option<Fence>,
    /// Versions of groups in a shared store.
    pub(crate) versions: Box<[Version]>,
    /// Without a fence: what this process has removed from the store so far, as a count.
    pub(crate) removals: u64,
}

impl Ticket {
    /// Whether nothing was removed between the two, single keys as far as fences show and groups in a shared store.
    pub(crate) fn agrees(&self, other: &Ticket) -> bool {
        self.fence == other.fence && self.versions == other.versions && self.removals == other.removals
    }
}

/// Who is loading what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlightKey<'a> {
    /// The hash of the key, well mixed.
    pub(crate) hash: u64,
    /// The plan under which it is loaded: function, backend and every option that changes what is stored.
    pub(crate) plan: u64,
    /// The key's canonical bytes.
    pub(crate) key: &'a [u8],
}

/// What a leader leaves to its followers.
#[derive(Clone)]
pub(crate) enum Fruit {
    /// A value in its kept form.
    Value(Arc<dyn Any + Send + Sync>),
    /// A whole result that can be shared: an error, or a value that is not kept.
    Whole(Arc<dyn Any + Send + Sync>),
    /// A result that cannot be cloned. Followers run on their own, a few side by side.
    Unshared,
}

impl fmt::Debug for Fruit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fruit::Value(_) => "Value",
            Fruit::Whole(_) => "Whole",
            Fruit::Unshared => "Unshared",
        })
    }
}

const SHARDS: usize = 64;

/// The loads under way in one instance.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Shard]>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Shard {
    table: Mutex<HashTable<Entry>>,
    /// How many loads have ended here: a caller that read before an end and asks after it has to read again. Written
    /// under the lock; whoever looks into a byte store reads it without.
    ended: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    id: Id,
    hash: u64,
    plan: u64,
    key: SmallVec<[u8; 24]>,
    ticket: Ticket,
    started: Moment,
    /// An invalidation came: those who wait still get the value, nobody new joins.
    detached: bool,
    flight: Option<Arc<Flight>>,
    /// The first leader's, if it is async.
    watch: Weak<Watch>,
}

/// What a caller is to do.
#[derive(Debug)]
pub(crate) enum Role<'f> {
    /// Load, and store what the ticket allows.
    Lead(Lead<'f>),
    /// Wait for a load that began under the same ticket.
    Follow(Follow<'f>),
    /// Waiting would close a circle: run, and store nothing.
    Inline,
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Got<'f> {
    Fruit(Fruit),
    Lead(Lead<'f>),
}

/// How a load is run.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// The leader is async: its task is watched.
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
        Flights { shards: (0..SHARDS).map(|_| Shard::default()).collect(), clock }
    }

    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 20) as usize % SHARDS]
    }

    /// How many loads have ended near this key.
    pub(crate) fn ended(&self, hash: u64) -> u64 {
        self.shard(hash).ended.load(Ordering::Acquire)
    }

    /// Takes part in the load of a key.
    ///
    /// `valid` says whether a load that began under a ticket may answer this caller.
    pub(crate) fn join<'f>(
        &'f self,
        key: FlightKey<'_>,
        ticket: &Ticket,
        terms: &Terms<'f>,
        valid: impl Fn(&Ticket) -> bool,
    ) -> Role<'f> {
        let mut table = self.shard(key.hash).table.lock();
        let found =
            table.find_mut(key.hash, |e| !e.detached && e.hash == key.hash && e.plan == key.plan && *e.key == *key.key);
        if let Some(entry) = found {
            if valid(&entry.ticket) {
                return match Chain::edges_to(entry.id) {
                    Ok(edges) => Role::Follow(Follow::new(self, entry, terms, edges)),
                    Err(circles::Circle) => Role::Inline,
                };
            }
            entry.detached = true;
        }
        let at = At { id: Id::new(), hash: key.hash };
        let watch = terms.watched.then(|| Watch::new(&self.clock, Weak::new()));
        let entry = Entry {
            id: at.id,
            hash: key.hash,
            plan: key.plan,
            key: SmallVec::from_slice(key.key),
            ticket: ticket.clone(),
            started: self.clock.now(),
            detached: false,
            flight: None,
            watch: watch.as_ref().map_or_else(Weak::new, Arc::downgrade),
        };
        table.insert_unique(key.hash, entry, |e| e.hash);
        drop(table);
        Role::Lead(Lead::new(self, at, 0, watch, terms.abandoned))
    }

    /// Takes an ended load out of the table and gives its shared side. `None` for a leader that has lost its place.
    fn end(&self, at: At, number: u64) -> Option<Option<Arc<Flight>>> {
        let shard = self.shard(at.hash);
        let mut table = shard.table.lock();
        shard.ended.store(shard.ended.load(Ordering::Relaxed) + 1, Ordering::Release);
        let entry = table.find_entry(at.hash, |e| e.id == at.id).ok()?;
        match &entry.get().flight {
            Some(flight) if !flight.is_ended_by(number) => None,
            _ => Some(entry.remove().0.flight),
        }
    }

    /// How many loads are in the table.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.lock().len()).sum()
    }
}
