//! Describes one call before it begins.

use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{ErrorKind, TagEpoch, caught};

use super::envelope::check_groups;
use super::groups::{Groups, check_tags};
use super::{Caller, CallerKind, Patience, PlanRef};
use crate::key::KeyBuf;

/// Purpose of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Get an answer, from the cache or from the function.
    Call,
    /// Get a new value from the function.
    Refresh,
    /// Have an entry in the cache; the value itself is not needed.
    Warm,
}

/// Outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The cache had the result, or another caller's load brought it.
    Present,
    /// The function ran and its result was stored, or refused for a newer one.
    Loaded,
    /// The function ran, and its result was not stored.
    Failed,
}

/// One call, with everything that is decided before it begins.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) plan: PlanRef,
    pub(crate) key: KeyBuf,
    pub(crate) tags: Box<[Arc<TagEpoch>]>,
    /// Groups of a call with tags, see [`Job::groups`].
    tagged: Option<Groups>,
    pub(crate) how: How,
    pub(crate) caller_kind: CallerKind,
    pub(crate) patience: Patience,
    /// True if the hit path has looked into the store just before.
    pub(crate) looked: bool,
    /// Nothing lay in the object store for this key when so much had been put in, see `ObjectBackend::inserts`.
    pub(crate) absent: Option<u64>,
}

impl Job {
    /// Creates a call without tags. `None` in a process that was forked from that of the plan.
    pub(crate) fn new(plan: PlanRef, key: KeyBuf, how: How, caller_kind: CallerKind) -> Option<Job> {
        if plan.instance.is_of_parent() {
            return None;
        }
        let patience = plan.store.patience();
        Some(Job {
            plan,
            key,
            tags: Box::default(),
            tagged: None,
            how,
            caller_kind,
            patience,
            looked: false,
            absent: None,
        })
    }

    /// Adds tags without duplicates. `None` if an entry cannot have them: the call has to run uncached, which is
    /// reported.
    pub(crate) fn tagged(&mut self, tags: &[String]) -> Option<()> {
        if tags.is_empty() {
            return Some(());
        }
        let plan = &self.plan;
        let groups = plan.groups(tags);
        let checked = check_tags(tags).and_then(|()| check_groups(&groups));
        checked.inspect_err(|error| plan.function.runs_uncached("tags", &plan.store.name, error)).ok()?;
        self.tags = tags.iter().map(|tag| plan.instance.tags().epoch(tag)).collect();
        self.tagged = Some(groups);
        Some(())
    }

    /// Returns whether nothing can have been put in for the key since this caller looked; asked once it leads and has
    /// its fence.
    ///
    /// Both come after every insert that matters: another's load ends when it is stored, and a `set` counts before it
    /// breaks the fence that this call has taken.
    pub(super) fn is_still_absent(&self) -> bool {
        let (Some(absent), Some(object)) = (self.absent, self.plan.store.near()) else { return false };
        let address = self.plan.address(self.key.hash());
        caught(ErrorKind::Backend, "asking what was put in", || object.inserts(address)).ok().flatten() == Some(absent)
    }

    /// Returns the caller, with the patience that all operations of this call share.
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { caller_kind: self.caller_kind, patience: &self.patience }
    }

    /// Returns how long its load may take: a placeholder in the store has to last as long.
    pub(super) fn lease(&self) -> Duration {
        self.plan.options.max_load_time
    }

    /// Returns the groups of an entry in a byte store; empty if the store does not support versions.
    pub(super) fn groups(&self) -> &Groups {
        self.tagged.as_ref().unwrap_or_else(|| self.plan.own_groups())
    }
}
