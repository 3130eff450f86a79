//! Defines the engine's view of its instance.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use retainit_plugin::{Clock, Error, ErrorKind, Process, Result, TagEpoch};

use super::flight::Flights;
use super::groups::{InstanceEpoch, Tags};
use super::{Function, Store};
use crate::event::Bus;
use crate::runtime::Timers;
use crate::value::{Deadline, Format};

/// Gives the engine what changes while an instance lives: a reload replaces stores, calls add functions.
pub(crate) trait EngineHost: Send + Sync {
    /// Lists the stores there are now.
    fn stores(&self) -> Vec<Arc<Store>>;

    /// Lists the functions and caches that have been used, by the numbers their entries carry.
    fn functions_by_site(&self) -> HashMap<u32, Arc<Function>>;

    /// Finds the serializer that an envelope names, if this program has it.
    fn format(&self, name: &str) -> Option<Format>;

    /// Returns the reason why nothing is cached, if the configuration cannot be used.
    fn problem(&self) -> Option<&str>;

    /// Returns the place of a setting, such as `retainit.toml:12`.
    fn setting_source(&self, path: &[&str]) -> Option<String>;

    /// Returns whether a profile enforces options of this name in `functions` or `backends`.
    fn is_enforced(&self, section: &str, name: &str) -> bool;
}

/// Holds what is fixed from the moment an instance is made: its clock, epochs, tags, flights, timers, bus and limits.
pub(crate) struct EngineState {
    pub(crate) epoch: InstanceEpoch,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) system_clock: bool,
    pub(crate) namespace: String,
    pub(crate) namespace_epoch: TagEpoch,
    pub(crate) tags: Tags,
    pub(crate) bus: Arc<Bus>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) max_value: u64,
    pub(crate) decode_timeout: Duration,
    pub(crate) secret: [u8; 32],
    pub(crate) sweep_due: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// Process that made the instance. In a forked child it counts as closed.
    pub(crate) process: Process,
}

/// The engine's view of an instance, which it keeps alive.
#[derive(Clone)]
pub(crate) struct EngineContext {
    state: Arc<EngineState>,
    host: Arc<dyn EngineHost>,
}

impl fmt::Debug for EngineContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineContext").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Deref for EngineContext {
    type Target = EngineState;

    #[inline(always)]
    fn deref(&self) -> &EngineState {
        &self.state
    }
}

impl Drop for EngineState {
    fn drop(&mut self) {
        // A forked child has no thread to end, and the lock may be held for ever.
        if self.process.is_current() {
            self.timers.close();
        }
    }
}

impl EngineState {
    #[inline(always)]
    pub(crate) fn epoch(&self) -> &InstanceEpoch {
        &self.epoch
    }

    #[inline(always)]
    pub(crate) fn namespace_epoch(&self) -> &TagEpoch {
        &self.namespace_epoch
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn has_system_clock(&self) -> bool {
        self.system_clock
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    pub(crate) fn flights(&self) -> &Arc<Flights> {
        &self.flights
    }

    pub(crate) fn timers(&self) -> &Arc<Timers> {
        &self.timers
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// Returns the most bytes of a value that is stored or read.
    pub(crate) fn max_value(&self) -> u64 {
        self.max_value
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Returns the time when decoding a payload that begins now has to end.
    pub(crate) fn deadline(&self) -> Deadline<'_> {
        Deadline::new(&*self.clock, self.decode_timeout)
    }

    /// Returns true if the instance is closed, at least in this process.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.is_of_parent()
    }

    /// Returns true if this process is a forked child of the one that made the instance. A child must not touch it:
    /// locks that other threads of the parent held stay locked, and their work is never done.
    #[inline]
    pub(crate) fn is_of_parent(&self) -> bool {
        !self.process.is_current()
    }

    /// Refuses an operation after `close()`.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() { Err(self.closed()) } else { Ok(()) }
    }

    /// Returns the error of a closed instance.
    pub(crate) fn closed(&self) -> Error {
        let why = match self.is_of_parent() {
            true => "this instance is of the process that forked this one: make another here",
            false => "this instance is closed",
        };
        Error::new(ErrorKind::Closed, why)
    }
}

impl EngineContext {
    pub(crate) fn new(state: &Arc<EngineState>, host: Arc<dyn EngineHost>) -> EngineContext {
        EngineContext { state: Arc::clone(state), host }
    }

    /// Lists the stores there are now.
    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        self.host.stores()
    }

    /// Lists the functions and caches that have been used, by the numbers their entries carry.
    pub(crate) fn functions_by_site(&self) -> HashMap<u32, Arc<Function>> {
        self.host.functions_by_site()
    }

    /// Finds the serializer that an envelope names, if this program has it.
    pub(crate) fn format(&self, name: &str) -> Option<Format> {
        self.host.format(name)
    }

    /// Returns the place of a setting, such as `retainit.toml:12`.
    pub(crate) fn setting_source(&self, path: &[&str]) -> Option<String> {
        self.host.setting_source(path)
    }

    /// Returns whether a profile enforces options of this name in `functions` or `backends`.
    pub(crate) fn is_enforced(&self, section: &str, name: &str) -> bool {
        self.host.is_enforced(section, name)
    }

    /// Refuses operations that would be acknowledged and not done: an instance whose configuration cannot be used does
    /// not know the backends that it shares with other processes.
    pub(crate) fn check_usable(&self) -> Result<()> {
        self.check_open()?;
        match self.host.problem() {
            Some(problem) => Err(Error::new(ErrorKind::Config, problem.to_owned())),
            None => Ok(()),
        }
    }

    /// Returns a weak reference to the instance, as a function.
    pub(super) fn downgrade(&self) -> impl Fn() -> Option<EngineContext> + Send + use<> {
        let (state, host) = (Arc::downgrade(&self.state), Arc::downgrade(&self.host));
        move || Some(EngineContext { state: state.upgrade()?, host: host.upgrade()? })
    }
}
