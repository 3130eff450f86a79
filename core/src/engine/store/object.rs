//! Implements [`Store`](super::Store) for backends of values in memory: every operation completes on the caller's
//! thread.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{
    CachedEntry, EntryMeta, EntryRef, EntryTimes, ErrorKind, InsertMode, Inserted, Moment, NewEntry, ObjectBackend,
    RemovalCause, Result, StoredValue, TagEpoch, Visit, caught,
};

use super::LoadStart;
use crate::engine::EngineContext;
use crate::engine::flight::{Ticket, TicketFence};
use crate::engine::keys::{FoundKey, KeyQuery};
use crate::engine::verdict::{Death, Epochs, Timeline, Verdict};
use crate::engine::{Failure, Hit, Job, Looked, Mode, Plan, ReadMode, Slot, Stock, Write, contained};
use crate::key::{KeyBuf, arguments_text};
use crate::stats::{Counter, count};
use crate::value::{Shared, ValueOps};

/// A backend of values in memory.
#[derive(Clone, Debug)]
pub(super) struct ObjectStore {
    name: Arc<str>,
    backend: Arc<dyn ObjectBackend>,
}

impl ObjectStore {
    pub(super) fn new(name: Arc<str>, backend: Arc<dyn ObjectBackend>) -> ObjectStore {
        ObjectStore { name, backend }
    }

    pub(super) fn backend(&self) -> &Arc<dyn ObjectBackend> {
        &self.backend
    }

    pub(super) fn bounds_functions(&self) -> bool {
        self.backend.capabilities().has_function_bounds()
    }

    /// Calls the backend. A panic in it becomes an error, so that nothing is acknowledged.
    fn ask<T>(&self, ask: impl FnOnce(&dyn ObjectBackend) -> T) -> Result<T> {
        let asked = caught(ErrorKind::Backend, "the backend", || ask(self.backend.as_ref()));
        asked.map_err(|error| error.with_context("backend", &*self.name))
    }

    // ------------------------------------------------------------------------------------------------------- looking

    /// Makes a result of the entry of a call's key.
    pub(super) fn find(&self, job: &Job, mode: ReadMode, slot: &mut dyn Slot) -> bool {
        let plan = &*job.plan;
        let find = || {
            let mut finder = SlotFinder { plan, key: job.key.bytes(), mode, slot, found: SlotFound::Nothing };
            self.visit(plan, &job.key, mode, &mut finder);
            let SlotFinder { slot, found, .. } = finder;
            // After the backend has returned: this may run the user's `Clone`, which must not run under the backend's
            // lock.
            let made = match found {
                SlotFound::Nothing => false,
                SlotFound::Value => slot.give(),
                SlotFound::Failure(failure) => slot.give_failure(plan, failure),
            };
            made.then_some(())
        };
        contained(plan, find).is_some()
    }

    fn visit(&self, plan: &Plan, key: &KeyBuf, mode: ReadMode, visit: &mut dyn Visit) {
        let address = plan.address(key.hash());
        match mode {
            ReadMode::Use => self.backend.get(address, visit),
            ReadMode::Peek | ReadMode::Raw => self.backend.peek(address, visit),
        };
    }

    /// Looks a key up for a handle or a cache.
    pub(super) fn lookup<V: StoredValue>(
        &self,
        plan: &Plan,
        key: &KeyBuf,
        mode: ReadMode,
        ops: &ValueOps<V>,
    ) -> Result<Looked<V>> {
        caught(ErrorKind::Backend, "looking a key up", || {
            if ops.direct {
                return self.lookup_as::<V>(plan, key, mode);
            }
            let looked = self.lookup_as::<Shared<V>>(plan, key, mode);
            let Ok(looked) = looked.try_map(|shared| Ok::<_, Infallible>(shared.copy()));
            looked
        })
    }

    fn lookup_as<K: StoredValue>(&self, plan: &Plan, key: &KeyBuf, mode: ReadMode) -> Looked<K> {
        let mut finder = Finder { plan, key: key.bytes(), mode, found: Looked::Miss };
        self.visit(plan, key, mode, &mut finder);
        finder.found
    }

    /// Returns the keys whose entries may be served.
    pub(super) fn keys(&self, instance: &EngineContext, wanted: &KeyQuery) -> Result<Vec<FoundKey>> {
        caught(ErrorKind::Backend, "the backend", || {
            let (functions, now) = (instance.functions_by_site(), instance.clock().now());
            let mut found = Vec::new();
            self.backend.scan(&mut |entry| {
                let wants = |site| wanted.site.is_none_or(|wanted| wanted == site);
                let Some(function) = functions.get(&entry.site).filter(|_| wants(entry.site)) else { return };
                if Epochs::new(instance, &function.tag_epoch).judge(entry.cached, now).is_dead() {
                    return;
                }
                let shown = format!("{}:{}", function.id, arguments_text(function.keys, entry.key));
                if wanted.wants(&shown) {
                    found.push(FoundKey { shown, full: None });
                }
            });
            found
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.ask(|backend| backend.len() as u64).unwrap_or(0)
    }

    // ------------------------------------------------------------------------------------------------------- loading

    /// Takes the ticket of a load that begins now. Without the fence of a backend that has them, nothing is stored.
    pub(super) fn start_load(&self, job: &Job) -> LoadStart {
        let plan = &*job.plan;
        // The epoch is read before the fence is taken: an invalidation in between makes the ticket too old, which costs
        // a load. In the other order the ticket could be too new, and a result from before the invalidation be served.
        let epoch = plan.instance.epoch().now();
        let address = plan.address(job.key.hash());
        let fence = || self.backend.capabilities().has_fences().then(|| self.backend.fence(address));
        let fence = caught(ErrorKind::Backend, "taking the fence of a key", fence);
        let fence = fence.inspect_err(|error| plan.not_cached("read", error));
        let unreachable = fence.is_err();
        let fence = fence.unwrap_or(None).map(TicketFence::Object);
        let ticket = Ticket { epoch, fence, versions: Box::default(), removals: 0 };
        LoadStart::Ticket { ticket, unreachable }
    }

    /// Stores a value. Returns false if its condition did not hold.
    pub(super) fn write(&self, write: &Write<'_>, fresh_for: Option<Duration>, stock: &mut dyn Stock) -> Result<bool> {
        caught(ErrorKind::Backend, "storing the value", || self.insert(write, fresh_for, stock))
    }

    fn insert(&self, write: &Write<'_>, fresh_for: Option<Duration>, stock: &mut dyn Stock) -> bool {
        let plan = write.plan;
        let created = Moment::from_millis(plan.now().as_millis().saturating_sub(write.age.as_millis() as u64));
        let bytes = if self.backend.weighs() { stock.weigh() } else { 0 };
        let times = EntryTimes {
            epoch: write.ticket.epoch,
            created,
            fresh_until: fresh_for.map_or(Moment::NEVER, |fresh_for| created.after(fresh_for)),
            load_time: write.load_time,
            extra: extra(write),
        };
        let max_entries = plan.options.max_entries;
        let Some(cached) = stock.keep(times) else { return false };
        let ends = cached.discard_at();
        let entry =
            NewEntry { address: plan.address(write.key.hash()), key: write.key.bytes(), cached, bytes, max_entries };
        let live = |cached: &CachedEntry| plan.is_fresh(cached);
        let inserted = self.backend.insert(entry, insert_mode(write, &live));
        if inserted == Inserted::Yes {
            // The backend reports and counts the entry that this one replaced.
            count(plan.site, Counter::Stored);
        }
        if inserted == Inserted::Yes && ends != Moment::NEVER {
            plan.instance.sweep_by(ends);
        }
        inserted == Inserted::Yes
    }

    // ------------------------------------------------------------------------------------------------------ removing

    /// Removes one key. Returns true if its entry could be served.
    pub(super) fn remove(&self, plan: &Plan, key: &KeyBuf) -> Result<bool> {
        let mut present = Present { plan, key: key.bytes(), live: false };
        self.ask(|backend| backend.remove(plan.address(key.hash()), &mut present))?;
        Ok(present.live)
    }

    /// Clears the entries of one function, or all. Their epoch is raised already, so that only their times show which
    /// of them could be served before.
    pub(super) fn clear(&self, site: Option<u32>, now: Moment) -> Result<u64> {
        let mut live = 0;
        let mut keep = |entry: EntryRef<'_>| {
            let gone = site.is_none_or(|site| site == entry.site);
            live += u64::from(gone && !Timeline::of(entry.cached).at(now).is_dead());
            gone.then_some(RemovalCause::Removed)
        };
        self.ask(|backend| backend.retain(&mut keep))?;
        Ok(live)
    }

    /// Removes the keys that match, and refuses every load that is under way.
    pub(super) fn remove_matching(&self, instance: &EngineContext, wanted: &KeyQuery) -> Result<u64> {
        let (functions, now) = (instance.functions_by_site(), instance.clock().now());
        let mut live = 0;
        let mut keep = |entry: EntryRef<'_>| {
            let function = functions.get(&entry.site)?;
            let shown = format!("{}:{}", function.id, arguments_text(function.keys, entry.key));
            let gone = wanted.wants(&shown);
            live += u64::from(gone && !Epochs::new(instance, &function.tag_epoch).judge(entry.cached, now).is_dead());
            gone.then_some(RemovalCause::Removed)
        };
        self.ask(|backend| {
            // First, or a load could store a key that the walk has passed already.
            backend.break_fences();
            backend.retain(&mut keep)
        })?;
        Ok(live)
    }

    /// Removes entries that may not be served any more, and counts those that had expired.
    pub(super) fn sweep(&self, instance: &EngineContext) -> Result<u64> {
        let (functions, now) = (instance.functions_by_site(), instance.clock().now());
        let (mut expired, none) = (0, TagEpoch::new());
        let mut keep = |entry: EntryRef<'_>| {
            let tag_epoch = functions.get(&entry.site).map_or(&none, |function| &*function.tag_epoch);
            match Epochs::new(instance, tag_epoch).judge(entry.cached, now) {
                Verdict::Fresh | Verdict::Stale | Verdict::Grace => None,
                Verdict::Dead(Death::Invalidated(_)) => Some(RemovalCause::Invalidated),
                Verdict::Dead(Death::Expired | Death::Idle | Death::FromTheFuture) => {
                    expired += 1;
                    Some(RemovalCause::Expired)
                }
            }
        };
        self.ask(|backend| backend.retain(&mut keep))?;
        Ok(expired)
    }

    /// Returns the earliest time at which a sweep is worth its cost.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.ask(|backend| backend.next_deadline()).ok()
    }

    /// Empties a store that no function will use any more.
    pub(super) fn forget(&self) {
        let empty = || self.backend.retain(&mut |_| Some(RemovalCause::Removed));
        drop(caught(ErrorKind::Backend, "emptying the backend", empty));
    }

    /// Empties the store for ever: no load under way is stored either.
    pub(super) fn close(&self) -> Result<()> {
        let empty = || {
            // First, so that a load that began before cannot store into the emptied backend.
            self.backend.break_fences();
            self.backend.retain(&mut |_| Some(RemovalCause::Removed))
        };
        caught(ErrorKind::Backend, "the backend", empty).map(drop)
    }
}

fn insert_mode<'a>(write: &Write<'_>, live: &'a dyn Fn(&CachedEntry) -> bool) -> InsertMode<'a> {
    match (write.mode, &write.ticket.fence) {
        (Mode::Fill, Some(TicketFence::Object(fence))) => InsertMode::Fenced(*fence),
        (Mode::Replace, Some(TicketFence::Object(fence))) => InsertMode::Replace(*fence),
        (Mode::Absent, _) => InsertMode::Absent { live },
        _ => InsertMode::Always,
    }
}

fn extra(write: &Write<'_>) -> Option<EntryMeta> {
    let idle = write.plan.options.max_idle;
    if write.tags.is_empty() && !write.plan.touches {
        return None;
    }
    let mut extra = EntryMeta::tags(write.tags);
    extra.idle = idle;
    Some(extra)
}

/// Returns the verdict of an entry, `None` if this mode does not return it.
fn shown(plan: &Plan, cached: &CachedEntry, mode: ReadMode) -> Option<Verdict> {
    match mode {
        ReadMode::Use => plan.is_fresh(cached).then_some(Verdict::Fresh),
        ReadMode::Peek => Some(plan.judge(cached)).filter(|verdict| verdict.is_fresh()),
        ReadMode::Raw => Some(plan.judge(cached)),
    }
}

/// Finds an entry by an encoded key.
struct Finder<'a, K> {
    plan: &'a Plan,
    key: &'a [u8],
    mode: ReadMode,
    found: Looked<K>,
}

impl<K: StoredValue> Visit for Finder<'_, K> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        if key != self.key {
            return false;
        }
        if let Some(verdict) = shown(self.plan, cached, self.mode) {
            let meta = self.plan.meta(cached, verdict);
            if let Some(value) = cached.value::<K>() {
                self.found = Looked::shown(Hit::Value(value.clone(), meta), verdict);
            } else if let Some(failure) = cached.value::<Failure>() {
                self.found = Looked::shown(Hit::Failure(failure.clone(), meta), verdict);
            }
        }
        true
    }
}

enum SlotFound {
    Nothing,
    Value,
    Failure(Failure),
}

/// Finds the result of a call by its encoded key.
struct SlotFinder<'a> {
    plan: &'a Plan,
    key: &'a [u8],
    mode: ReadMode,
    slot: &'a mut dyn Slot,
    found: SlotFound,
}

impl Visit for SlotFinder<'_> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        if key != self.key {
            return false;
        }
        if shown(self.plan, cached, self.mode).is_none() {
            return true;
        }
        if self.slot.take(cached) {
            self.found = SlotFound::Value;
        } else if let Some(failure) = cached.value::<Failure>() {
            self.found = SlotFound::Failure(failure.clone());
        }
        true
    }
}

/// Finds a key, and judges whether its entry may be served.
struct Present<'a> {
    plan: &'a Plan,
    key: &'a [u8],
    live: bool,
}

impl Visit for Present<'_> {
    fn visit(&mut self, key: &[u8], cached: &CachedEntry) -> bool {
        let found = key == self.key;
        self.live |= found && self.plan.judge(cached).is_fresh();
        found
    }
}
