//! Event bus of one instance: its subscribers, and the delivery of events to their queues.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use retainit_plugin::lock::{Mutex, RwLock};
use retainit_plugin::{Clock, Error, Event, EventKind, EventKinds, EventParts, Process, Result, Subscriber, actor};

use super::dispatch::handling;
use super::print::Printed;
use super::queue::{QueueHome, SubscriberQueue};
use super::sparse::{Sparse, held_back};
use super::{Subscription, notice, on};
use crate::runtime::{Alive, Io};

pub(super) type SubscriberQueues = Arc<[Arc<SubscriberQueue>]>;

/// Limit on the time that `close()` waits for handlers.
const DRAIN: Duration = Duration::from_secs(5);

/// Event bus of an instance.
pub(crate) struct Bus {
    /// Kinds with a subscriber: all that is read when there is none.
    subscribed: AtomicU32,
    /// Kinds for which a subscriber wants the actor.
    with_actor: AtomicU32,
    /// True while a subscriber writes failures to a log.
    logged: AtomicBool,
    /// True while such a subscriber needs no `tracing` to be seen.
    logged_without_tracing: AtomicBool,
    /// Problems printed to standard error.
    printed: Printed,
    /// Warnings written to the log.
    sparse: Sparse,
    /// Queues of this instance's subscribers and of the process's.
    queues: RwLock<SubscriberQueues>,
    own: Mutex<BusQueues>,
    /// Failures that belong to no function, by operation.
    failures: Mutex<BTreeMap<&'static str, u64>>,
    /// Notes for `health()` about settings whose effect differs from what is written.
    notes: Mutex<Vec<String>>,
    /// Number of uncached calls that belong to no function.
    uncached: AtomicU64,
    instance: u64,
    namespace: Arc<str>,
    plain_keys: bool,
    secret: [u8; 32],
    clock: Arc<dyn Clock>,
    io: Arc<Io>,
    /// Process that made the bus. In a fork of it there are no subscribers: their threads are gone.
    process: Process,
    me: Weak<Bus>,
}

#[derive(Default)]
struct BusQueues {
    queues: Vec<Arc<SubscriberQueue>>,
    backends: Vec<Arc<str>>,
    closed: bool,
    /// Held while hits have a subscriber: keeps them off the shortest way.
    hits: Option<Alive>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("queues", &*self.queues.read()).finish_non_exhaustive()
    }
}

static INSTANCES: AtomicU64 = AtomicU64::new(1);

impl Bus {
    pub(crate) fn new(
        namespace: &str,
        plain_keys: bool,
        secret: &[u8; 32],
        clock: &Arc<dyn Clock>,
        io: &Arc<Io>,
    ) -> Arc<Bus> {
        let bus = Arc::new_cyclic(|me| Bus {
            subscribed: AtomicU32::new(0),
            with_actor: AtomicU32::new(0),
            logged: AtomicBool::new(false),
            logged_without_tracing: AtomicBool::new(false),
            printed: Printed::default(),
            sparse: Sparse::default(),
            queues: RwLock::new(Arc::new([])),
            own: Mutex::default(),
            failures: Mutex::default(),
            notes: Mutex::default(),
            uncached: AtomicU64::new(0),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            namespace: namespace.into(),
            plain_keys,
            secret: blake3::derive_key("retainit 2026-01-01 keys in events", secret),
            clock: Arc::clone(clock),
            io: Arc::clone(io),
            process: Process::current(),
            me: me.clone(),
        });
        on::admit(&bus);
        bus
    }

    // ---------------------------------------------------------------------------------------------------- emission

    /// Returns true if a subscriber receives this kind: one relaxed load.
    #[inline]
    pub(crate) fn is_subscribed(&self, kind: EventKind) -> bool {
        self.subscribed.load(Ordering::Relaxed) & (1 << kind as u32) != 0
    }

    /// Returns true if a subscriber receives any of several kinds, given as bits.
    pub(crate) fn is_subscribed_to_any(&self, kinds: u32) -> bool {
        self.subscribed.load(Ordering::Relaxed) & kinds != 0
    }

    /// Emits an event if its kind has a subscriber; `fill` runs only then.
    #[inline]
    pub(crate) fn emit(&self, kind: EventKind, fill: impl FnOnce(&mut EventParts)) {
        if self.is_subscribed(kind) {
            self.emit_subscribed(kind, fill);
        }
    }

    #[cold]
    fn emit_subscribed(&self, kind: EventKind, fill: impl FnOnce(&mut EventParts)) {
        if !self.process.is_current() {
            return;
        }
        self.deliver(&self.queues(), kind, Some(0), fill);
    }

    /// Emits a warning that repeats often, with `held` as [`Sparse::pass`] returns it. Logs receive it once a minute,
    /// all other subscribers each time.
    pub(crate) fn emit_sparse(&self, kind: EventKind, held: Option<u64>, fill: impl FnOnce(&mut EventParts)) {
        if self.is_subscribed(kind) && self.process.is_current() {
            self.deliver(&self.queues(), kind, held, fill);
        }
    }

    /// Returns the number of equal warnings held back since the last that passed; `None` for one that is not to be
    /// written to a log.
    pub(crate) fn pass(
        &self,
        kind: EventKind,
        function: Option<&str>,
        operation: &'static str,
        backend: Option<&str>,
    ) -> Option<u64> {
        self.sparse.pass(kind, function, operation, backend, self.clock())
    }

    fn deliver(
        &self,
        queues: &[Arc<SubscriberQueue>],
        kind: EventKind,
        held: Option<u64>,
        fill: impl FnOnce(&mut EventParts),
    ) {
        // The calls that a handler makes raise no events for itself, or each event would cause the next. The event is
        // only built once another subscriber is found.
        let own = handling();
        let mut receivers = queues.iter().filter(|queue| queue.id != own && queue.is_subscribed(kind)).peekable();
        if receivers.peek().is_none() {
            return;
        }
        let mut parts = self.parts(kind);
        fill(&mut parts);
        if EventKinds::from_bits(self.with_actor.load(Ordering::Relaxed)).contains(kind) {
            parts.actor = actor().map(Into::into);
        }
        let to_log = held.and_then(held_back).map(|detail| {
            let mut parts = parts.clone();
            parts.detail = Some(detail.into());
            Event::from(parts)
        });
        let event = Event::from(parts);
        // `push` has released its queue's lock when the drops are reported, which locks the other queues: holding one
        // while taking another could deadlock with a second caller.
        for queue in receivers.filter(|queue| held.is_some() || !queue.writes_log) {
            let event = to_log.as_ref().filter(|_| queue.writes_log).unwrap_or(&event);
            let unreported = queue.push(event.clone(), true);
            notice::report(queue, unreported);
        }
    }

    /// Returns the parts that every event of this instance has.
    pub(super) fn parts(&self, kind: EventKind) -> EventParts {
        let mut parts = EventParts::new(kind, self.clock.wall());
        parts.instance = self.instance;
        parts.namespace = Arc::clone(&self.namespace);
        parts
    }

    /// Returns a key, tag or pattern as events show it: as it is, or as a keyed hash.
    pub(crate) fn key(&self, owner: &str, text: &str) -> Box<str> {
        if self.plain_keys {
            return text.into();
        }
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(owner.as_bytes()).update(&[0]).update(text.as_bytes());
        let mut shown = String::new();
        crate::key::text::push_digest(&hasher.finalize().as_bytes()[..10], &mut shown);
        shown.into()
    }

    /// Returns true if a subscriber writes failures and notices to a log.
    pub(crate) fn writes_log(&self) -> bool {
        self.logged.load(Ordering::Relaxed)
    }

    /// Prints why calls run uncached, unless a log of the program shows it.
    pub(crate) fn print_uncached(&self, function: Option<&str>, operation: &'static str, error: &str) {
        if !self.logged_without_tracing.load(Ordering::Relaxed) {
            self.printed.uncached(function, operation, error);
        }
    }

    /// Prints what makes all functions run uncached, unless a log of the program shows it.
    pub(crate) fn print_unusable(&self, problems: &Error) {
        self.printed.unusable(problems);
    }

    /// Prints advice about a setting that has no effect, unless a subscriber of `tracing` shows it.
    pub(crate) fn print_advice(&self, advice: &str) {
        self.printed.advice(advice);
    }

    /// Adds a note about a setting for `health()`, once.
    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock();
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// Returns the notes about settings.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.lock().clone()
    }

    /// Returns the instance's clock.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Counts an uncached call whose function is not known here.
    pub(crate) fn count_uncached(&self) {
        self.uncached.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of uncached calls that belong to no function.
    pub(crate) fn uncached(&self) -> u64 {
        self.uncached.load(Ordering::Relaxed)
    }

    /// Counts a failure that belongs to no function.
    pub(crate) fn count_failure(&self, operation: &'static str) {
        if self.process.is_current() {
            *self.failures.lock().entry(operation).or_default() += 1;
        }
    }

    /// Returns the failures that belong to no function, by operation.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().clone()
    }

    // ---------------------------------------------------------------------------------------------------- backends

    /// Announces a backend to all subscribers; later ones receive the event when they subscribe.
    pub(crate) fn backend_is_there(&self, backend: &Arc<str>) {
        // The queues are taken under the lock that `add` holds while it introduces a newcomer: each subscriber receives
        // the event exactly once.
        let queues = {
            let mut own = self.own.lock();
            if own.backends.contains(backend) {
                return;
            }
            own.backends.push(Arc::clone(backend));
            self.queues()
        };
        self.deliver(&queues, EventKind::BackendInit, Some(0), |parts| parts.backend = Some(Arc::clone(backend)));
    }

    /// Announces the end of a backend.
    pub(crate) fn backend_is_gone(&self, backend: &Arc<str>) {
        self.own.lock().backends.retain(|known| known != backend);
        self.emit(EventKind::BackendClose, |parts| parts.backend = Some(Arc::clone(backend)));
    }

    /// Announces all present backends to a new queue. The queue is not shared yet, so it has room.
    fn announce_backends(&self, own: &BusQueues, queue: &Arc<SubscriberQueue>) {
        for backend in own.backends.iter().filter(|_| !own.closed) {
            let mut parts = self.parts(EventKind::BackendInit);
            parts.backend = Some(Arc::clone(backend));
            queue.push(parts.into(), false);
        }
    }

    // --------------------------------------------------------------------------------------------------- subscribers

    pub(super) fn place(&self) -> QueueHome {
        QueueHome { bus: self.me.clone(), clock: Arc::clone(&self.clock), io: Arc::downgrade(&self.io) }
    }

    pub(super) fn add(&self, queue: Arc<SubscriberQueue>) -> Subscription {
        let mut is_closed = !self.process.is_current();
        if is_closed {
            queue.finish();
            return Subscription { queue };
        }
        // The process's lock comes before the bus's everywhere. The closed flag is read under the bus's lock: a
        // subscriber that comes while the bus closes is either in the list that `close_within` ends, or ended here.
        on::with(|process| {
            let mut own = self.own.lock();
            is_closed = own.closed;
            if !is_closed {
                self.announce_backends(&own, &queue);
                own.queues.push(Arc::clone(&queue));
                self.renew(&mut own, process);
            }
        });
        if is_closed {
            queue.finish();
        }
        Subscription { queue }
    }

    /// Adds a subscriber that the configuration names.
    pub(crate) fn add_subscriber(&self, subscriber: Box<dyn Subscriber>) -> Subscription {
        self.add(SubscriberQueue::of(subscriber, self.place()))
    }

    /// Rebuilds the list of queues. `newcomer` is a new queue of the whole process, which receives the present
    /// backends.
    pub(super) fn renewed(&self, process: &[Arc<SubscriberQueue>], newcomer: Option<&Arc<SubscriberQueue>>) {
        let mut own = self.own.lock();
        if let Some(queue) = newcomer {
            self.announce_backends(&own, queue);
        }
        self.renew(&mut own, process);
    }

    pub(super) fn refresh(&self) {
        on::with(|process| self.renewed(process, None));
    }

    fn renew(&self, own: &mut BusQueues, process: &[Arc<SubscriberQueue>]) {
        own.queues.retain(|queue| !queue.is_over());
        let process = process.iter().filter(|_| !own.closed);
        let queues: SubscriberQueues = own.queues.iter().chain(process).cloned().collect();
        let union = |queues: &mut dyn Iterator<Item = &Arc<SubscriberQueue>>| {
            queues.fold(EventKinds::NONE, |kinds, queue| kinds.with(queue.kinds()))
        };
        let subscribed = union(&mut queues.iter());
        self.with_actor.store(union(&mut queues.iter().filter(|queue| queue.wants_actor)).bits(), Ordering::Relaxed);
        let mut logs = queues.iter().filter(|queue| queue.writes_log);
        self.logged_without_tracing.store(logs.clone().any(|queue| !queue.needs_tracing), Ordering::Relaxed);
        self.logged.store(logs.next().is_some(), Ordering::Relaxed);
        // The queues first: whoever sees a new kind in the mask then finds its queue.
        *self.queues.write() = queues;
        self.subscribed.store(subscribed.bits(), Ordering::Release);
        own.hits = match subscribed.contains(EventKind::CacheHit) {
            true => own.hits.take().or_else(|| Some(Alive::new())),
            false => None,
        };
    }

    pub(super) fn queues(&self) -> SubscriberQueues {
        Arc::clone(&self.queues.read())
    }

    pub(super) fn forget(&self, kinds: EventKinds) {
        let queues = self.own.lock().queues.clone();
        // A queue without kinds is finished, so that its handler is freed.
        queues.iter().filter(|queue| queue.forget(kinds)).for_each(|queue| queue.finish());
        self.refresh();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.own.lock().queues.iter().map(|queue| queue.dropped()).sum()
    }

    // ------------------------------------------------------------------------------------------------------- the end

    /// Waits until every event so far has been handled, except by the handler that calls this.
    pub(super) async fn flush(&self) {
        if !self.process.is_current() {
            return;
        }
        let own = handling();
        for queue in self.queues().iter().filter(|queue| queue.id != own) {
            let taken = queue.taken();
            poll_fn(|cx| queue.poll_settled(taken, cx)).await;
        }
    }

    /// Stops accepting events, and gives handlers a limited time to handle those that are queued.
    ///
    /// # Errors
    ///
    /// The number of events lost by subscribers that must not lose any.
    pub(crate) async fn close(&self) -> Result<()> {
        self.close_within(DRAIN).await
    }

    pub(super) async fn close_within(&self, limit: Duration) -> Result<()> {
        // From here `add` refuses newcomers, so the list of own queues is complete.
        let own = {
            let mut own = self.own.lock();
            own.closed = true;
            own.queues.clone()
        };
        // Taken before `refresh` removes the process's queues from this bus: their last events of this instance are
        // waited for too. They go on for other instances, so only those events are; own queues are waited for until
        // they have ended.
        let everybody = self.queues();
        self.refresh();
        // A handler that closes its own instance would wait for itself.
        own.iter().for_each(|queue| queue.finish());
        let caller = handling();
        let mut waiting: Vec<_> = everybody
            .iter()
            .filter(|queue| queue.id != caller)
            .map(|queue| (Arc::clone(queue), queue.taken()))
            .collect();
        let mut ended = Box::pin(poll_fn(move |cx| {
            waiting.retain(|(queue, taken)| {
                let is_own = queue.place.bus.strong_count() > 0;
                let polled = if is_own { queue.poll_finished(cx) } else { queue.poll_settled(*taken, cx) };
                polled.is_pending()
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        // Most instances have nothing to wait for; only the others need the timer, which starts the I/O runtime.
        let is_ended = poll_fn(|cx| Poll::Ready(ended.as_mut().poll(cx).is_ready())).await;
        let ended = async {
            ended.await;
            Ok(())
        };
        if !is_ended && self.io.within(limit, ended).await.is_err() {
            let dropped: u64 = own.iter().map(|queue| queue.cut()).sum();
            tracing::warn!(target: "retainit", dropped, "subscribers did not end within {limit:?}");
        }
        own.iter().try_for_each(|queue| queue.losses())
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // Handlers on threads handle what is queued and end; a drop waits for none of them.
        self.own.get_mut().queues.iter().for_each(|queue| queue.finish());
    }
}
