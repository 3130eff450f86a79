//! The bus of one instance: who hears what, and how an event gets there.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use retainit_plugin::{Clock, Event, EventKind, EventKinds, EventParts, Subscriber, actor};

use super::dispatch::handling;
use super::lane::{Lane, Place};
use super::{Subscription, notice, on};
use crate::overrides::Alive;
use crate::runtime::Io;

pub(super) type Lanes = Arc<[Arc<Lane>]>;

/// How long `close()` waits for handlers.
const DRAIN: Duration = Duration::from_secs(5);

/// What an instance tells, and to whom.
pub(crate) struct Bus {
    /// The kinds somebody hears: all that is read when nobody listens.
    heard: AtomicU32,
    /// The kinds that carry an actor.
    signed: AtomicU32,
    /// Whether somebody writes failures to the log.
    logged: AtomicBool,
    /// Who hears, of this instance and of the process.
    lanes: RwLock<Lanes>,
    own: Mutex<Own>,
    /// Failures that belong to no function, by operation.
    failures: Mutex<BTreeMap<&'static str, u64>>,
    instance: u64,
    namespace: Arc<str>,
    plain_keys: bool,
    secret: [u8; 32],
    clock: Arc<dyn Clock>,
    io: Arc<Io>,
    me: Weak<Bus>,
}

#[derive(Default)]
struct Own {
    lanes: Vec<Arc<Lane>>,
    backends: Vec<Arc<str>>,
    closed: bool,
    /// Held while somebody hears of hits: it keeps them off the shortest way.
    hits: Option<Alive>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("lanes", &*self.lanes.read()).finish_non_exhaustive()
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
            heard: AtomicU32::new(0),
            signed: AtomicU32::new(0),
            logged: AtomicBool::new(false),
            lanes: RwLock::new(Arc::new([])),
            own: Mutex::default(),
            failures: Mutex::default(),
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            namespace: namespace.into(),
            plain_keys,
            secret: blake3::derive_key("retainit 2026-01-01 keys in events", secret),
            clock: Arc::clone(clock),
            io: Arc::clone(io),
            me: me.clone(),
        });
        on::admit(&bus);
        bus
    }

    // ---------------------------------------------------------------------------------------------------- emission

    /// Whether somebody hears of this kind: one relaxed load.
    #[inline]
    pub(crate) fn hears(&self, kind: EventKind) -> bool {
        self.heard.load(Ordering::Relaxed) & (1 << kind as u32) != 0
    }

    /// The same for several, as bits.
    pub(crate) fn hears_any(&self, kinds: u32) -> bool {
        self.heard.load(Ordering::Relaxed) & kinds != 0
    }

    /// Tells an event, if anybody hears it; only then is it made.
    #[inline]
    pub(crate) fn emit(&self, kind: EventKind, fill: impl FnOnce(&mut EventParts)) {
        if self.hears(kind) {
            self.emit_heard(kind, fill);
        }
    }

    #[cold]
    fn emit_heard(&self, kind: EventKind, fill: impl FnOnce(&mut EventParts)) {
        let lanes = self.lanes();
        self.deliver(&lanes, kind, fill);
    }

    fn deliver(&self, lanes: &[Arc<Lane>], kind: EventKind, fill: impl FnOnce(&mut EventParts)) {
        let own = handling();
        let mut hearers = lanes.iter().filter(|lane| lane.id != own && lane.hears(kind)).peekable();
        if hearers.peek().is_none() {
            return;
        }
        let mut parts = self.parts(kind);
        fill(&mut parts);
        if EventKinds::from_bits(self.signed.load(Ordering::Relaxed)).contains(kind) {
            parts.actor = actor().map(Into::into);
        }
        let event = Event::from(parts);
        for lane in hearers {
            let untold = lane.push(event.clone(), true);
            notice::tell(lane, untold);
        }
    }

    /// The parts every event of this instance has.
    pub(super) fn parts(&self, kind: EventKind) -> EventParts {
        let mut parts = EventParts::new(kind, self.clock.wall());
        parts.instance = self.instance;
        parts.namespace = Arc::clone(&self.namespace);
        parts
    }

    /// How a key, tag or pattern is shown.
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

    /// Somebody else writes failures and notices to the log.
    pub(crate) fn writes_log(&self) -> bool {
        self.logged.load(Ordering::Relaxed)
    }

    /// Counts a failure that belongs to no function.
    pub(super) fn count_failure(&self, operation: &'static str) {
        *self.failures.lock().entry(operation).or_default() += 1;
    }

    /// The failures that belong to no function.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.failures.lock().clone()
    }

    // ---------------------------------------------------------------------------------------------------- backends

    /// A backend is there. Whoever subscribes later is told of it then.
    pub(crate) fn backend_is_there(&self, backend: &Arc<str>) {
        // Everybody who hears now, taken under the same lock under which those who come later look.
        let lanes = {
            let mut own = self.own.lock();
            if own.backends.contains(backend) {
                return;
            }
            own.backends.push(Arc::clone(backend));
            self.lanes()
        };
        self.deliver(&lanes, EventKind::BackendInit, |parts| parts.backend = Some(Arc::clone(backend)));
    }

    /// A backend is gone.
    pub(crate) fn backend_is_gone(&self, backend: &Arc<str>) {
        self.own.lock().backends.retain(|known| known != backend);
        self.emit(EventKind::BackendClose, |parts| parts.backend = Some(Arc::clone(backend)));
    }

    /// Tells a new lane of the backends that are there. Nobody else sees the lane yet, so its queue has room.
    fn introduce(&self, own: &Own, lane: &Arc<Lane>) {
        for backend in own.backends.iter().filter(|_| !own.closed) {
            let mut parts = self.parts(EventKind::BackendInit);
            parts.backend = Some(Arc::clone(backend));
            lane.push(parts.into(), false);
        }
    }

    // --------------------------------------------------------------------------------------------------- subscribers

    pub(super) fn place(&self) -> Place {
        Place { bus: self.me.clone(), clock: Arc::clone(&self.clock), io: Arc::downgrade(&self.io) }
    }

    pub(super) fn add(&self, lane: Arc<Lane>) -> Subscription {
        let mut is_closed = false;
        on::with(|process| {
            let mut own = self.own.lock();
            is_closed = own.closed;
            if !is_closed {
                self.introduce(&own, &lane);
                own.lanes.push(Arc::clone(&lane));
                self.renew(&mut own, process);
            }
        });
        if is_closed {
            lane.finish();
        }
        Subscription { lane }
    }

    /// Adds a subscriber that the configuration names.
    pub(crate) fn add_subscriber(&self, subscriber: Box<dyn Subscriber>) -> Subscription {
        self.add(Lane::of(subscriber, self.place()))
    }

    /// Puts together anew who hears what. `newcomer` is a lane of the process that has just come.
    pub(super) fn renewed(&self, process: &[Arc<Lane>], newcomer: Option<&Arc<Lane>>) {
        let mut own = self.own.lock();
        if let Some(lane) = newcomer {
            self.introduce(&own, lane);
        }
        self.renew(&mut own, process);
    }

    pub(super) fn refresh(&self) {
        on::with(|process| self.renewed(process, None));
    }

    fn renew(&self, own: &mut Own, process: &[Arc<Lane>]) {
        own.lanes.retain(|lane| !lane.is_over());
        let process = process.iter().filter(|_| !own.closed);
        let lanes: Lanes = own.lanes.iter().chain(process).cloned().collect();
        let union = |lanes: &mut dyn Iterator<Item = &Arc<Lane>>| {
            lanes.fold(EventKinds::NONE, |kinds, lane| kinds.with(lane.kinds()))
        };
        let heard = union(&mut lanes.iter());
        self.signed.store(union(&mut lanes.iter().filter(|lane| lane.wants_actor)).bits(), Ordering::Relaxed);
        self.logged.store(lanes.iter().any(|lane| lane.writes_log), Ordering::Relaxed);
        *self.lanes.write() = lanes;
        self.heard.store(heard.bits(), Ordering::Release);
        own.hits = match heard.contains(EventKind::CacheHit) {
            true => own.hits.take().or_else(|| Some(Alive::new())),
            false => None,
        };
    }

    pub(super) fn lanes(&self) -> Lanes {
        Arc::clone(&self.lanes.read())
    }

    pub(super) fn forget(&self, kinds: EventKinds) {
        let lanes = self.own.lock().lanes.clone();
        // Who hears of nothing any more is ended, so that its handler is freed.
        lanes.iter().filter(|lane| lane.forget(kinds)).for_each(|lane| lane.finish());
        self.refresh();
    }

    pub(super) fn dropped(&self) -> u64 {
        self.own.lock().lanes.iter().map(|lane| lane.dropped()).sum()
    }

    // ------------------------------------------------------------------------------------------------------- the end

    /// Waits until everything told so far has been handled. A handler that asks is not waited for.
    pub(super) async fn flush(&self) {
        let own = handling();
        for lane in self.lanes().iter().filter(|lane| lane.id != own) {
            let taken = lane.taken();
            poll_fn(|cx| lane.poll_settled(taken, cx)).await;
        }
    }

    /// Takes no more events, and gives handlers a while to end with those there are.
    pub(crate) async fn close(&self) {
        self.close_within(DRAIN).await;
    }

    pub(super) async fn close_within(&self, limit: Duration) {
        let own = {
            let mut own = self.own.lock();
            own.closed = true;
            own.lanes.clone()
        };
        let everybody = self.lanes();
        self.refresh();
        own.iter().for_each(|lane| lane.finish());
        let caller = handling();
        let mut waiting: Vec<_> =
            everybody.iter().filter(|lane| lane.id != caller).map(|lane| (Arc::clone(lane), lane.taken())).collect();
        let mut ended = Box::pin(poll_fn(move |cx| {
            waiting.retain(|(lane, taken)| {
                let is_own = lane.place.bus.strong_count() > 0;
                let polled = if is_own { lane.poll_finished(cx) } else { lane.poll_settled(*taken, cx) };
                polled.is_pending()
            });
            if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        // The timer needs the I/O runtime; most have nothing to wait for.
        let is_ended = poll_fn(|cx| Poll::Ready(ended.as_mut().poll(cx).is_ready())).await;
        let ended = async {
            ended.await;
            Ok(())
        };
        if !is_ended && self.io.within(limit, ended).await.is_err() {
            let dropped: u64 = own.iter().map(|lane| lane.cut()).sum();
            tracing::warn!(target: "retainit", dropped, "subscribers did not end within {limit:?}");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // Handlers on threads end with what is queued; nobody waits for them.
        self.own.get_mut().lanes.iter().for_each(|lane| lane.finish());
    }
}
