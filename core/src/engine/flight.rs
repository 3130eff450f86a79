//! Single-flight: one load per missing key, whoever asks.
//!
//! A leader polls its own loader in place: no task is spawned, borrowed arguments work, any executor will do. The
//! table holds a small entry per load; the shared [`Flight`] is only made when a follower comes or the leader is
//! async. A leader that is dropped, panics, starves or takes too long leaves its place to the first follower that
//! looks, which runs its own loader.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hashbrown::HashTable;
use parking_lot::Mutex;
use retainit_plugin::{Clock, Fence, Moment, Version};
use smallvec::SmallVec;

/// A leader that was woken and not polled for this long has lost its place.
pub(crate) const STARVED: Duration = Duration::from_millis(50);

/// The identity of one lead, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u64);

/// What a caller took before it began to load: a load is valid for callers whose ticket says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The instance's generation.
    pub(crate) generation: u64,
    /// The fence of the slot, if the store has fences.
    pub(crate) fence: Option<Fence>,
    /// Versions of groups in a shared store.
    pub(crate) versions: Box<[Version]>,
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
    /// A result that cannot be cloned. One follower tries again; the others do not wait for it.
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

/// Leaders of one function that may have lost their place and go on.
const MOST_ABANDONED: usize = 8;

const SHARDS: usize = 64;

/// The loads under way in one instance.
#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Mutex<Shard>]>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Shard {
    table: HashTable<Entry>,
    /// How many loads have ended here: a caller that read before an end and asks after it has to read again.
    ended: u64,
}

#[derive(Debug)]
struct Entry {
    id: Id,
    hash: u64,
    plan: u64,
    key: SmallVec<[u8; 24]>,
    ticket: Ticket,
    /// An invalidation came: those who wait still get the value, nobody new joins.
    detached: bool,
    flight: Option<Arc<Flight>>,
}

/// The shared side of a load that others wait for.
pub(crate) struct Flight {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    max_load_time: Duration,
    /// Leaders of this function that have lost their place and are still at it.
    abandoned: Arc<AtomicUsize>,
    /// When the leader's task was woken and has not been polled since; zero otherwise.
    woken: AtomicU64,
    leader: Mutex<Option<Waker>>,
    timers: std::sync::Weak<crate::runtime::Timers>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Leads handed out; a leader of an earlier one has lost its place.
    lead: u64,
    /// When the present lead began.
    started: Moment,
    /// The lead whose end is watched for.
    watched: Option<u64>,
    waiting: usize,
    wakers: Vec<Option<Waker>>,
}

#[derive(Debug)]
enum Phase {
    Loading,
    Vacant,
    Done(Fruit),
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("state", &self.state).finish_non_exhaustive()
    }
}

/// What a caller is to do.
#[derive(Debug)]
pub(crate) enum Role {
    /// Load, and store what the ticket allows.
    Lead(Lead),
    /// Wait for a load that began under the same ticket.
    Follow(Follow),
    /// Waiting would close a circle: run, and store nothing.
    Inline,
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Got {
    Fruit(Fruit),
    Lead(Lead),
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Flights {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Flights {
        Flights { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), clock }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 20) as usize % SHARDS]
    }

    /// How many loads have ended near this key.
    pub(crate) fn ended(&self, hash: u64) -> u64 {
        self.shard(hash).lock().ended
    }

    /// Takes part in the load of a key.
    ///
    /// `valid` says whether a load that began under a ticket may answer this caller.
    pub(crate) fn join(
        self: &Arc<Self>,
        key: FlightKey<'_>,
        ticket: &Ticket,
        terms: &Terms<'_>,
        valid: impl Fn(&Ticket) -> bool,
    ) -> Role {
        let mut shard = self.shard(key.hash).lock();
        let found = shard
            .table
            .find_mut(key.hash, |e| !e.detached && e.hash == key.hash && e.plan == key.plan && *e.key == *key.key);
        if let Some(entry) = found {
            if valid(&entry.ticket) {
                let Ok(edges) = Chain::edges_to(entry.id) else {
                    return Role::Inline;
                };
                let flight = entry.flight.get_or_insert_with(|| self.flight(terms));
                let token = flight.state.lock().enter();
                let at = At { id: entry.id, hash: key.hash };
                let (flights, flight) = (Arc::clone(self), Arc::clone(flight));
                return Role::Follow(Follow { flights, flight, at, token: Some(token), edges });
            }
            entry.detached = true;
        }
        let id = Id(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let flight = terms.eager.then(|| self.flight(terms));
        let entry = Entry {
            id,
            hash: key.hash,
            plan: key.plan,
            key: SmallVec::from_slice(key.key),
            ticket: ticket.clone(),
            detached: false,
            flight: flight.clone(),
        };
        shard.table.insert_unique(key.hash, entry, |e| e.hash);
        drop(shard);
        let (flights, abandoned) = (Arc::clone(self), Arc::clone(terms.abandoned));
        Role::Lead(Lead { flights, at: At { id, hash: key.hash }, number: 0, flight, abandoned, over: false })
    }

    fn flight(&self, terms: &Terms<'_>) -> Arc<Flight> {
        Arc::new(Flight {
            state: Mutex::new(State {
                phase: Phase::Loading,
                lead: 0,
                started: self.clock.now(),
                watched: None,
                waiting: 0,
                wakers: Vec::new(),
            }),
            clock: Arc::clone(&self.clock),
            max_load_time: terms.max_load_time,
            abandoned: Arc::clone(terms.abandoned),
            woken: AtomicU64::new(0),
            leader: Mutex::new(None),
            timers: Arc::downgrade(terms.timers),
        })
    }

    /// Takes an ended load out of the table and gives its shared side. `None` for a leader that has lost its place.
    fn end(&self, at: At, number: u64) -> Option<Option<Arc<Flight>>> {
        let mut shard = self.shard(at.hash).lock();
        shard.ended += 1;
        let entry = shard.table.find_entry(at.hash, |e| e.id == at.id).ok()?;
        match &entry.get().flight {
            Some(flight) if flight.state.lock().lead != number => None,
            _ => Some(entry.remove().0.flight),
        }
    }
}

/// How a load is run.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// The leader is async: its task is watched from the start.
    pub(crate) eager: bool,
    pub(crate) max_load_time: Duration,
    pub(crate) abandoned: &'a Arc<AtomicUsize>,
    pub(crate) timers: &'a Arc<crate::runtime::Timers>,
}

#[derive(Clone, Copy, Debug)]
struct At {
    id: Id,
    hash: u64,
}

impl State {
    fn enter(&mut self) -> usize {
        self.waiting += 1;
        self.wakers.push(None);
        self.wakers.len() - 1
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.wakers.iter_mut().filter_map(Option::take).collect()
    }

    fn vacate(&mut self) -> Vec<Waker> {
        self.phase = Phase::Vacant;
        self.take_wakers()
    }
}

// ------------------------------------------------------------------------------------------------------- leading

/// The right and duty to load. Dropped before [`Lead::complete`], it passes to a follower.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    at: At,
    number: u64,
    flight: Option<Arc<Flight>>,
    abandoned: Arc<AtomicUsize>,
    over: bool,
}

impl Lead {
    /// Runs the loader in place, watched for starvation and for circles.
    pub(crate) async fn run<F: Future>(&self, loader: F) -> F::Output {
        let mut loader = std::pin::pin!(loader);
        let watch = self.flight.as_ref().map(|flight| Waker::from(Arc::clone(flight)));
        std::future::poll_fn(|cx| {
            let _chain = Chain::enter(&[self.at.id]);
            match (&self.flight, &watch) {
                (Some(flight), Some(watch)) => {
                    flight.polled_by(cx.waker());
                    loader.as_mut().poll(&mut Context::from_waker(watch))
                }
                _ => loader.as_mut().poll(cx),
            }
        })
        .await
    }

    /// Renews the ticket that newcomers are compared with: the load begins now.
    pub(crate) fn renew(&self, ticket: &Ticket) {
        if let Some(entry) =
            self.flights.shard(self.at.hash).lock().table.find_mut(self.at.hash, |e| e.id == self.at.id)
        {
            entry.ticket = ticket.clone();
        }
    }

    /// Ends the load. `fruit` is only made if somebody waits.
    pub(crate) fn complete(mut self, fruit: impl FnOnce() -> Fruit) {
        self.over = true;
        let Some(flight) = self.flights.end(self.at, self.number) else {
            self.abandoned.fetch_sub(1, Ordering::AcqRel);
            return;
        };
        let Some(flight) = flight.filter(|flight| flight.state.lock().waiting > 0) else {
            return;
        };
        let fruit = fruit();
        let wakers = {
            let mut state = flight.state.lock();
            state.phase = Phase::Done(fruit);
            state.take_wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let wakers = {
            let mut shard = self.flights.shard(self.at.hash).lock();
            let Ok(entry) = shard.table.find_entry(self.at.hash, |e| e.id == self.at.id) else {
                self.abandoned.fetch_sub(1, Ordering::AcqRel);
                return;
            };
            let Some(flight) = entry.get().flight.clone() else {
                entry.remove();
                return;
            };
            let mut state = flight.state.lock();
            if state.lead != self.number {
                self.abandoned.fetch_sub(1, Ordering::AcqRel);
                return;
            }
            if state.waiting == 0 {
                entry.remove();
                return;
            }
            state.vacate()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The leader's task is woken through the flight, which notes when.
impl Wake for Flight {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let now = self.clock.now();
        let first = self.woken.compare_exchange(0, now.as_millis().max(1), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if first
            && let Some(timers) = self.timers.upgrade()
            && self.state.lock().waiting > 0
        {
            timers.at(now.after(STARVED), Alarm::Starved(Arc::downgrade(self)));
        }
        let waker = self.leader.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Flight {
    fn polled_by(&self, waker: &Waker) {
        self.woken.store(0, Ordering::Release);
        let mut leader = self.leader.lock();
        if !leader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *leader = Some(waker.clone());
        }
    }

    /// Frees the lead, unless nobody waits, another leads by now, or too many leaders of this function lost theirs.
    fn take_from_leader(&self, lead: u64) {
        let wakers = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Loading) || state.lead != lead || state.waiting == 0 {
                return;
            }
            let room = |n: usize| (n < MOST_ABANDONED).then_some(n + 1);
            if self.abandoned.fetch_update(Ordering::AcqRel, Ordering::Relaxed, room).is_err() {
                state.watched = None;
                return;
            }
            state.lead += 1;
            state.vacate()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What the timer thread looks at.
#[derive(Debug)]
pub(crate) enum Alarm {
    /// A leader was woken a while ago: if it was not polled since, it has lost its place.
    Starved(std::sync::Weak<Flight>),
    /// A load has taken as long as it may: a follower leads.
    TooLong(std::sync::Weak<Flight>, u64),
}

impl Alarm {
    pub(crate) fn ring(&self, now: Moment) {
        match self {
            Alarm::Starved(flight) => {
                let Some(flight) = flight.upgrade() else {
                    return;
                };
                let lead = flight.state.lock().lead;
                let woken = flight.woken.load(Ordering::Acquire);
                if woken != 0 && now >= Moment::from_millis(woken).after(STARVED) {
                    flight.take_from_leader(lead);
                }
            }
            Alarm::TooLong(flight, lead) => {
                if let Some(flight) = flight.upgrade() {
                    flight.take_from_leader(*lead);
                }
            }
        }
    }
}

// ----------------------------------------------------------------------------------------------------- following

/// Waits for another caller's load.
#[derive(Debug)]
pub(crate) struct Follow {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    at: At,
    token: Option<usize>,
    edges: Edges,
}

impl Future for Follow {
    type Output = Got;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Got> {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.state.lock();
        let Some(token) = self.token else {
            return Poll::Pending;
        };
        match &state.phase {
            Phase::Loading => {
                match &mut state.wakers[token] {
                    Some(waker) => waker.clone_from(cx.waker()),
                    empty => *empty = Some(cx.waker().clone()),
                }
                let unwatched = state.watched != Some(state.lead);
                state.watched = Some(state.lead);
                let (lead, started) = (state.lead, state.started);
                drop(state);
                flight.watch(unwatched.then_some((lead, started)));
                Poll::Pending
            }
            Phase::Done(fruit) => {
                let fruit = fruit.clone();
                state.waiting -= 1;
                self.token = None;
                Poll::Ready(Got::Fruit(fruit))
            }
            Phase::Vacant => {
                state.phase = Phase::Loading;
                state.waiting -= 1;
                state.lead += 1;
                state.started = flight.clock.now();
                let number = state.lead;
                drop(state);
                self.token = None;
                flight.woken.store(0, Ordering::Release);
                *flight.leader.lock() = None;
                self.edges = Edges::default();
                let (flights, abandoned) = (Arc::clone(&self.flights), Arc::clone(&flight.abandoned));
                let flight = Some(flight);
                Poll::Ready(Got::Lead(Lead { flights, at: self.at, number, flight, abandoned, over: false }))
            }
        }
    }
}

impl Flight {
    /// Sets the alarms a follower relies on: for the lead's end, and for a leader that was woken before anybody
    /// followed.
    fn watch(self: &Arc<Self>, lead: Option<(u64, Moment)>) {
        let Some(timers) = self.timers.upgrade() else {
            return;
        };
        if let Some((lead, started)) = lead {
            timers.at(started.after(self.max_load_time), Alarm::TooLong(Arc::downgrade(self), lead));
        }
        let woken = self.woken.load(Ordering::Acquire);
        if woken != 0 {
            timers.at(Moment::from_millis(woken).after(STARVED), Alarm::Starved(Arc::downgrade(self)));
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let Some(token) = self.token else { return };
        let mut shard = self.flights.shard(self.at.hash).lock();
        let mut state = self.flight.state.lock();
        state.waiting -= 1;
        state.wakers[token] = None;
        if !matches!(state.phase, Phase::Vacant) {
            return;
        }
        if state.waiting == 0 {
            drop(state);
            if let Ok(entry) = shard.table.find_entry(self.at.hash, |e| e.id == self.at.id) {
                entry.remove();
            }
        } else {
            // The one that was to lead is gone: the others have to look again.
            let wakers = state.take_wakers();
            drop(state);
            drop(shard);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

// ------------------------------------------------------------------------------------------------------- circles

thread_local! {
    /// The loads that are being polled on this thread, outermost first.
    static CHAIN: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

/// Who waits for whom, as far as loads wait inside loads.
static WAITS: Mutex<Option<HashMap<Id, Vec<Id>>>> = Mutex::new(None);

/// Loads under whose poll this code runs.
#[derive(Debug)]
pub(crate) struct Chain(usize);

impl Chain {
    /// Marks what runs until the drop as part of these loads.
    pub(crate) fn enter(ids: &[Id]) -> Chain {
        CHAIN.with_borrow_mut(|chain| {
            chain.extend_from_slice(ids);
            Chain(ids.len())
        })
    }

    /// The loads this code is part of.
    pub(crate) fn current() -> Vec<Id> {
        CHAIN.with_borrow(Clone::clone)
    }

    /// Notes that every load this code is part of waits for `target`, unless that closes a circle.
    fn edges_to(target: Id) -> Result<Edges, ()> {
        let from = Chain::current();
        if from.is_empty() {
            return Ok(Edges::default());
        }
        let mut waits = WAITS.lock();
        let waits = waits.get_or_insert_default();
        let (mut open, mut seen) = (vec![target], HashSet::new());
        while let Some(id) = open.pop() {
            if from.contains(&id) {
                return Err(());
            }
            if seen.insert(id)
                && let Some(next) = waits.get(&id)
            {
                open.extend_from_slice(next);
            }
        }
        for id in &from {
            waits.entry(*id).or_default().push(target);
        }
        Ok(Edges { from, to: Some(target) })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        CHAIN.with_borrow_mut(|chain| chain.truncate(chain.len() - self.0));
    }
}

#[derive(Debug, Default)]
struct Edges {
    from: Vec<Id>,
    to: Option<Id>,
}

impl Drop for Edges {
    fn drop(&mut self) {
        let (Some(to), false) = (self.to, self.from.is_empty()) else {
            return;
        };
        let mut waits = WAITS.lock();
        let waits = waits.get_or_insert_default();
        for id in &self.from {
            if let Some(targets) = waits.get_mut(id) {
                if let Some(at) = targets.iter().position(|target| *target == to) {
                    targets.swap_remove(at);
                }
                if targets.is_empty() {
                    waits.remove(id);
                }
            }
        }
    }
}
