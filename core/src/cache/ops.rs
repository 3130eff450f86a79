//! Implements the operations of handles and caches once for both.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Contained, Error, ErrorKind, Result, StoredValue, TagEpoch, Ttl, caught};

use crate::call::Target;
use crate::engine::flight::Ticket;
use crate::engine::groups::check_tags;
use crate::engine::plan::Bypass;
use crate::engine::{Caller, CallerKind, Hit, Looked, Mode, Plan, PlanRef, ReadMode, Write, invalidate, write};
use crate::explain::{Explain, Reason};
use crate::key::KeyBuf;
use crate::meta::{Entry, Evicted, Lookup, Meta};
use crate::site::Site;
use crate::stats::Stats;
use crate::value::{ValueOps, copied};

/// Operations on one function or cache, for values of one type.
pub(crate) struct KeyedOps<V> {
    pub(crate) plan: PlanRef,
    pub(crate) ops: ValueOps<V>,
    pub(crate) caller_kind: CallerKind,
}

impl<V: StoredValue> KeyedOps<V> {
    /// Looks a key up. This counts as a use, and in the statistics like a call.
    pub(crate) async fn get(&self, key: &KeyBuf) -> Result<Lookup<V>> {
        let watch = self.plan.watch_hit();
        let looked = self.look(key, ReadMode::Use).await?;
        match looked {
            Looked::Hit(Hit::Value(..)) => self.plan.hit(key, watch.as_ref()),
            _ => self.plan.missed(key),
        }
        Ok(lookup(looked))
    }

    /// Looks a key up without counting a use.
    pub(crate) async fn peek(&self, key: &KeyBuf) -> Result<Option<Meta>> {
        Ok(match self.look(key, ReadMode::Peek).await? {
            Looked::Hit(hit @ Hit::Value(..)) => Some(hit.into_meta()),
            _ => None,
        })
    }

    pub(crate) async fn entry(&self, key: &KeyBuf) -> Result<Option<Entry<V>>> {
        Ok(match self.look(key, ReadMode::Raw).await? {
            Looked::Hit(Hit::Value(value, meta)) | Looked::Unserved(Hit::Value(value, meta), _) => {
                Some(Entry { value, meta })
            }
            _ => None,
        })
    }

    async fn look(&self, key: &KeyBuf, look: ReadMode) -> Result<Looked<V>> {
        self.plan.instance.check_open()?;
        match &self.plan.bypass {
            Some(Bypass::Disabled) => return Ok(Looked::Miss),
            Some(Bypass::Broken(why)) => {
                return Err(Error::new(ErrorKind::Config, why.to_string()));
            }
            None => {}
        }
        self.plan.store.lookup(&self.plan, key, look, &self.ops, self.caller_kind).await
    }

    /// Stores a value of the program's.
    pub(crate) async fn set(
        &self,
        key: &KeyBuf,
        tags: &[String],
        value: Contained<V>,
        ttl: Option<Ttl>,
        mode: Mode,
    ) -> Result<bool> {
        let is_none = self.ops.finds_none(&value)?;
        let none = is_none.then_some(self.plan.options.none_ttl).flatten();
        let ttl = self.plan.layers.scoped_ttl().or(ttl).or(none).unwrap_or(self.plan.options.ttl);
        let times = Times { ttl, age: Duration::ZERO, load_time: Duration::ZERO };
        self.put(key, tags, value, times, mode).await
    }

    /// Stores an entry with its age and the rest of its time.
    pub(crate) async fn set_entry(&self, key: &KeyBuf, tags: &[String], entry: Entry<V>) -> Result<()> {
        let Meta { fresh_until, created_at, load_time, .. } = entry.meta;
        let ttl = match fresh_until {
            None => Ttl::Never,
            Some(until) => Ttl::For(until.duration_since(created_at).unwrap_or_default()),
        };
        let now = self.plan.instance.clock().wall();
        let age = now.duration_since(created_at).unwrap_or_default();
        let (value, times) = (Contained::new(entry.value), Times { ttl, age, load_time });
        self.put(key, tags, value, times, Mode::Always).await.map(drop)
    }

    async fn put(&self, key: &KeyBuf, tags: &[String], value: Contained<V>, times: Times, mode: Mode) -> Result<bool> {
        self.plan.instance.check_open()?;
        match &self.plan.bypass {
            Some(Bypass::Disabled) => return Ok(false),
            Some(Bypass::Broken(why)) => {
                return Err(Error::new(ErrorKind::Config, why.to_string()));
            }
            None => {}
        }
        if times.ttl == Ttl::Off && mode == Mode::Always {
            // A value that is not stored must not leave an older entry in its place.
            return self.remove(key).await.map(|_| false);
        }
        check_tags(tags)?;
        let epochs: Vec<Arc<TagEpoch>> = tags.iter().map(|tag| self.plan.instance.tags().epoch(tag)).collect();
        let groups = self.plan.groups(tags);
        let epoch = self.plan.instance.epoch().now();
        let ticket = Ticket { epoch, fence: None, versions: Box::default(), removals: 0 };
        let patience = self.plan.store.patience();
        let request = Write {
            plan: &self.plan,
            key,
            tags: &epochs,
            groups: &groups,
            ticket: &ticket,
            mode,
            ttl: times.ttl,
            load_time: times.load_time,
            age: times.age,
            caller: Caller { caller_kind: self.caller_kind, patience: &patience },
        };
        let again = match mode {
            Mode::Absent if !self.plan.store.judges_presence() => Some(copied(&*value)?),
            _ => None,
        };
        let stored = write(request, value, &self.ops).await?;
        match again {
            Some(value) if !stored => self.replace_dead(request, value).await,
            _ => Ok(stored),
        }
    }

    /// Replaces an entry that may not be served, in a store that counts any entry as present. Another caller may be
    /// first.
    async fn replace_dead(&self, request: Write<'_>, value: Contained<V>) -> Result<bool> {
        let Some(ticket) = self.plan.store.ticket_if_unserved(&request, &self.ops).await? else { return Ok(false) };
        write(Write { ticket: &ticket, mode: Mode::Fill, ..request }, value, &self.ops).await
    }

    pub(crate) async fn remove(&self, key: &KeyBuf) -> Result<bool> {
        invalidate::remove_key(&self.plan, key, self.caller_kind).await
    }

    pub(crate) async fn clear(&self) -> Result<Evicted> {
        invalidate::clear(&self.plan, self.caller_kind).await
    }

    /// Explains why a lookup hits or misses.
    pub(crate) async fn explain(&self, key: &KeyBuf) -> Result<Explain> {
        let reason = if self.plan.instance.is_closed() {
            Reason::Closed
        } else {
            match &self.plan.bypass {
                Some(Bypass::Disabled) => Reason::Disabled,
                Some(Bypass::Broken(why)) => Reason::Broken(why.to_string()),
                None => self.reason(key).await?,
            }
        };
        Ok(Explain::new(&self.plan, key, reason, stats(&self.plan)))
    }

    async fn reason(&self, key: &KeyBuf) -> Result<Reason> {
        Ok(match self.plan.store.inspect(&self.plan, key, &self.ops, self.caller_kind).await? {
            Err(fault) => Reason::Unreadable(fault.into_error().to_string()),
            Ok(Looked::Miss) => Reason::Absent,
            Ok(Looked::Hit(Hit::Failure(..))) => Reason::StoredError,
            Ok(Looked::Hit(hit)) => Reason::Fresh(hit.into_meta()),
            Ok(Looked::Unserved(hit, verdict)) => Reason::unserved(verdict, hit.into_meta()),
        })
    }
}

struct Times {
    ttl: Ttl,
    age: Duration,
    load_time: Duration,
}

fn lookup<V>(looked: Looked<V>) -> Lookup<V> {
    match looked {
        Looked::Hit(Hit::Value(value, meta)) => Lookup::Hit { value, meta },
        _ => Lookup::Miss,
    }
}

pub(crate) fn stats(plan: &Plan) -> Stats {
    if plan.instance.is_of_parent() {
        return Stats::default();
    }
    let mut stats = plan.function.stats();
    stats.storage_type = plan.store.type_name.to_owned();
    stats
}

// ------------------------------------------------------------------------------------- for other functions' sites

/// Stores a function's result for another function: a copy of the value, if one could be made.
pub(super) async fn put_value<V: StoredValue>(
    target: Target,
    copy: Result<Contained<V>>,
    ops: &ValueOps<V>,
    ttl_of: fn(&dyn Any) -> Option<Result<Ttl>>,
    caller_kind: CallerKind,
) -> Result<()> {
    let has_lost_a_tag = target.has_lost_a_tag();
    let (plan, key, tags) = target.into_parts()?;
    if plan.instance.is_closed() {
        return Ok(());
    }
    let is_none = copy.as_ref().ok().and_then(|value| ops.finds_none(value).ok());
    // A write that stores nothing here must not leave an older entry, nor must one that an override sends elsewhere.
    let stores_nothing = plan.bypass.is_some()
        || has_lost_a_tag
        || is_none.is_none_or(|is_none| is_none && plan.options.none_ttl.is_none());
    if stores_nothing || plan.hidden.is_some() {
        invalidate::remove_for_attribute(&plan, &key, caller_kind).await?;
    }
    let value = copy?;
    if stores_nothing {
        return ops.finds_none(&value).map(drop);
    }
    let ops = KeyedOps { plan, ops: *ops, caller_kind };
    let computes = ops.plan.options.ttl_of && is_none == Some(false);
    let ttl = || if computes { ttl_of(&*value).transpose() } else { Ok(None) };
    let ttl = caught(ErrorKind::Config, "computing a ttl", ttl).flatten();
    let stored = match ttl.and_then(|ttl| ops.plan.store.patience_of_attribute().left().map(|_| ttl)) {
        Err(error) => Err(error),
        Ok(ttl) => ops.set(&key, &tags, value, ttl, Mode::Always).await.map(drop),
    };
    if let Err(error) = &stored {
        // The new value is not stored, so that the one before it must not be found any more.
        invalidate::superseded(&ops.plan, &key, error, caller_kind).await;
    }
    stored
}

/// Removes one entry of a function around another.
pub(crate) async fn remove_for_attribute(
    site: &'static Site,
    key: Result<KeyBuf>,
    caller_kind: CallerKind,
) -> Result<bool> {
    let (plan, key, _) = Target::new(site, key).into_parts()?;
    invalidate::remove_for_attribute(&plan, &key, caller_kind).await
}

/// Removes one entry of a function.
pub(crate) async fn remove(site: &'static Site, key: Result<KeyBuf>, caller_kind: CallerKind) -> Result<bool> {
    let (plan, key, _) = Target::new(site, key).into_parts()?;
    invalidate::remove_key(&plan, &key, caller_kind).await
}

/// Clears a function.
pub(crate) async fn clear(site: &'static Site, caller_kind: CallerKind) -> Result<Evicted> {
    invalidate::clear(&*crate::global::plan(site)?, caller_kind).await
}
