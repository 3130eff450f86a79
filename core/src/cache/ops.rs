//! What handles and caches do, written once.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Contained, Mark, ObjectBackend, StoredValue, Ttl, caught};

use crate::engine::flight::Ticket;
use crate::engine::groups::check_tags;
use crate::engine::plan::Bypass;
use crate::engine::{
    ByteStore, BytesLook, BytesLooked, Face, Hit, Kind, Look, Looked, Mode, Plan, PlanRef, Value, Write, invalidate,
    lookup_bytes, lookup_object, why_unread, write,
};
use crate::explain::{Explain, Reason};
use crate::key::KeyBuf;
use crate::meta::{Entry, Evicted, Lookup, Meta};
use crate::rt::{Call, Shared, Site, ValueFacts, copied};
use crate::stats::Stats;
use crate::{Error, ErrorKind, Result};

/// Operations on one function or cache, for values of one type.
pub(crate) struct Ops<V> {
    pub(crate) plan: PlanRef,
    pub(crate) facts: ValueFacts<V>,
    pub(crate) face: Face,
}

impl<V: StoredValue> Ops<V> {
    /// A lookup that counts as a use, and in the statistics like a call.
    pub(crate) async fn get(&self, key: &KeyBuf) -> Result<Lookup<V>> {
        let watch = self.plan.watch_hit();
        let looked = self.look(key, Look::Use).await?;
        match looked {
            Looked::Hit(Hit::Value(..)) => self.plan.hit(key, watch.as_ref()),
            _ => self.plan.missed(key),
        }
        Ok(lookup(looked))
    }

    /// A lookup that leaves no trace.
    pub(crate) async fn peek(&self, key: &KeyBuf) -> Result<Option<Meta>> {
        self.look(key, Look::Peek).await.map(Looked::into_meta)
    }

    pub(crate) async fn entry(&self, key: &KeyBuf) -> Result<Option<Entry<V>>> {
        Ok(match self.look(key, Look::Raw).await? {
            Looked::Hit(Hit::Value(value, meta)) => Some(Entry { value, meta }),
            _ => None,
        })
    }

    async fn look(&self, key: &KeyBuf, look: Look) -> Result<Looked<V>> {
        self.plan.instance.check_open()?;
        match &self.plan.bypass {
            Some(Bypass::Disabled) => return Ok(Looked::Miss),
            Some(Bypass::Broken(why)) => {
                return Err(Error::new(ErrorKind::Config, why.to_string()));
            }
            None => {}
        }
        match &self.plan.store.kind {
            Kind::Object(object) => {
                caught(ErrorKind::Backend, "looking a key up", || self.look_object(object.as_ref(), key, look))
            }
            Kind::Bytes(store) => self.look_bytes(store, key, look).await,
        }
    }

    fn look_object(&self, object: &dyn ObjectBackend, key: &KeyBuf, look: Look) -> Looked<V> {
        if self.facts.direct {
            return lookup_object::<V>(&self.plan, object, key, look);
        }
        match lookup_object::<Shared<V>>(&self.plan, object, key, look) {
            Looked::Miss => Looked::Miss,
            Looked::Hit(Hit::Failure(failure)) => Looked::Hit(Hit::Failure(failure)),
            Looked::Hit(Hit::Value(shared, meta)) => Looked::Hit(Hit::Value(shared.copy(), meta)),
        }
    }

    async fn look_bytes(&self, store: &ByteStore, key: &KeyBuf, look: Look) -> Result<Looked<V>> {
        let ((key, args_digest), groups) = (self.plan.logical_key_and_digest(key), self.plan.own_groups());
        let even_dead = look == Look::Raw;
        let look = BytesLook { store, face: self.face, key: &key, lease: None, groups, args_digest, even_dead };
        Ok(lookup_bytes(&self.plan, look, &self.facts).await?.looked)
    }

    /// Stores a value that nobody loaded.
    pub(crate) async fn set(
        &self,
        key: &KeyBuf,
        tags: &[String],
        value: Contained<V>,
        ttl: Option<Ttl>,
        mode: Mode,
    ) -> Result<bool> {
        let is_none = self.facts.finds_none(&value)?;
        let none = is_none.then_some(self.plan.options.none_ttl).flatten();
        let ttl = self.plan.levels.scoped_ttl().or(ttl).or(none).unwrap_or(self.plan.options.ttl);
        let times = Times { ttl, age: Duration::ZERO, load_time: Duration::ZERO };
        self.put(key, tags, value, times, mode).await
    }

    /// Stores an entry as it was.
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
        match &self.plan.bypass {
            Some(Bypass::Disabled) => return Ok(false),
            Some(Bypass::Broken(why)) => {
                return Err(Error::new(ErrorKind::Config, why.to_string()));
            }
            None => {}
        }
        if times.ttl == Ttl::Off && mode == Mode::Always {
            // What is not stored leaves nothing old either.
            return self.remove(key).await.map(|_| false);
        }
        check_tags(tags)?;
        let marks: Vec<Arc<Mark>> = tags.iter().map(|tag| self.plan.instance.tags().mark(tag)).collect();
        let groups = self.plan.groups(tags);
        let generation = self.plan.instance.generation().now();
        let ticket = Ticket { generation, fence: None, versions: Box::default(), removals: 0 };
        let request = Write {
            plan: &self.plan,
            key,
            tags: &marks,
            groups: &groups,
            ticket: &ticket,
            mode,
            ttl: times.ttl,
            load_time: times.load_time,
            age: times.age,
            face: self.face,
        };
        let again = match mode {
            Mode::Absent if self.plan.store.bytes().is_some() => Some(copied(&*value)?),
            _ => None,
        };
        let stored = write(request, Value::Value(value), &self.facts).await?;
        match again {
            Some(value) if !stored => self.replace_dead(request, value).await,
            _ => Ok(stored),
        }
    }

    /// A byte store counts as present whatever lies there. What may not be served any more is replaced, unless
    /// somebody else does so first.
    async fn replace_dead(&self, request: Write<'_>, value: Contained<V>) -> Result<bool> {
        let Some(store) = self.plan.store.bytes() else { return Ok(false) };
        let key = self.plan.logical_key(request.key);
        let lease = Some(self.plan.options.max_load_time);
        let (face, groups, args_digest) = (self.face, request.groups, request.key.args_digest());
        let look = BytesLook { store, face, key: &key, lease, groups, args_digest, even_dead: false };
        let BytesLooked { looked, fence, versions } = lookup_bytes(&self.plan, look, &self.facts).await?;
        let is_there = looked.is_hit();
        looked.into_meta();
        if is_there || fence.is_none() {
            return Ok(false);
        }
        let generation = request.ticket.generation;
        let ticket = Ticket { generation, fence, versions: versions.into(), removals: 0 };
        let request = Write { ticket: &ticket, mode: Mode::Fill, ..request };
        write(request, Value::Value(value), &self.facts).await
    }

    pub(crate) async fn remove(&self, key: &KeyBuf) -> Result<bool> {
        invalidate::remove(&self.plan, key, self.face).await
    }

    pub(crate) async fn clear(&self) -> Result<Evicted> {
        invalidate::clear(&self.plan, self.face).await
    }

    /// Why a lookup hits or misses.
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
        Ok(Explain::new(&self.plan, key, reason))
    }

    async fn reason(&self, key: &KeyBuf) -> Result<Reason> {
        // First, for a lookup removes what is damaged.
        if let Kind::Bytes(store) = &self.plan.store.kind
            && let Some(why) = why_unread(&self.plan, store, key, self.face, &self.facts).await?
        {
            return Ok(Reason::Unreadable(why));
        }
        match self.look(key, Look::Peek).await? {
            Looked::Hit(Hit::Failure(_)) => return Ok(Reason::StoredError),
            looked => {
                if let Some(meta) = looked.into_meta() {
                    return Ok(Reason::Fresh(meta));
                }
            }
        }
        let dead = match &self.plan.store.kind {
            Kind::Object(object) => invalidate::why_dead(&self.plan, object.as_ref(), key),
            Kind::Bytes(_) => None,
        };
        let looked = self.look(key, Look::Raw).await?;
        let (is_there, meta) = (looked.is_hit(), looked.into_meta());
        Ok(match (dead, meta) {
            (Some(why), _) => Reason::Invalidated(why),
            (None, Some(meta)) if !meta.is_fresh() => Reason::Expired(meta),
            (None, _) if is_there => Reason::Invalidated("a group it belongs to was invalidated"),
            (None, _) => Reason::Absent,
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
    let mut stats = plan.function.stats();
    stats.storage_type = plan.store.type_name.to_owned();
    if let Kind::Object(object) = &plan.store.kind {
        let total = &mut stats.total_keys;
        let count = || object.scan(&mut |entry| *total += u64::from(entry.site == plan.site));
        caught(ErrorKind::Backend, "counting keys", count).unwrap_or_else(|error| plan.failed("stats", &error));
    }
    stats
}

// ------------------------------------------------------------------------------------- for other functions' sites

/// Stores a function's result for another function: a copy of the value, if one could be made.
pub(crate) async fn put<V: StoredValue>(
    call: Call,
    copy: Result<Contained<V>>,
    facts: &ValueFacts<V>,
    face: Face,
) -> Result<()> {
    let has_lost_a_tag = call.has_lost_a_tag();
    let (plan, key, tags) = call.into_parts()?;
    if plan.instance.is_closed() {
        return Ok(());
    }
    let is_none = copy.as_ref().ok().and_then(|value| facts.finds_none(value).ok());
    // A write that stores nothing here leaves nothing old either, nor does one that an override sends elsewhere.
    let stores_nothing = plan.bypass.is_some()
        || has_lost_a_tag
        || is_none.is_none_or(|is_none| is_none && plan.options.none_ttl.is_none());
    if stores_nothing || plan.hidden.is_some() {
        invalidate::remove(&plan, &key, face).await?;
    }
    let value = copy?;
    if stores_nothing {
        return facts.finds_none(&value).map(drop);
    }
    let ops = Ops { plan, facts: *facts, face };
    let stored = ops.set(&key, &tags, value, None, Mode::Always).await.map(drop);
    if let Err(error) = &stored {
        // What was written is not there, so nobody may find what was there before.
        invalidate::superseded(&ops.plan, &key, error, face).await;
    }
    stored
}

/// Removes one entry of a function.
pub(crate) async fn remove(site: &'static Site, key: Result<KeyBuf>, face: Face) -> Result<bool> {
    let (plan, key, _) = Call::with_key(site, key).into_parts()?;
    invalidate::remove(&plan, &key, face).await
}

/// Clears a function.
pub(crate) async fn clear(site: &'static Site, face: Face) -> Result<Evicted> {
    invalidate::clear(&*crate::global::plan(site)?, face).await
}
