//! Defines the engine's view of a result: a table of functions per return type, so that the engine is compiled once.

use retainit_plugin::{Bytes, CachedEntry, Ttl};

use super::Job;
use super::envelope::Fault;
use super::flight::FlightResult;
use super::lookup::Failure;
use super::plan::Plan;
use super::write::Stock;
use crate::value::Sealed;

/// The result of one call, as far as there is one, and all operations on it. It exists for one step of the call: across
/// waits the engine holds nothing of the user's.
pub(crate) trait Slot: Stock {
    /// Takes a value out of a store, under its lock. Returns false for a value of another type.
    fn take(&mut self, cached: &CachedEntry) -> bool;

    /// Makes a result of the value that was taken. Runs the user's `Clone`.
    fn give(&mut self) -> bool;

    /// Makes a result of a stored error.
    fn give_failure(&mut self, plan: &Plan, failure: Failure) -> bool;

    /// Makes a result of a value's bytes.
    fn open(&mut self, plan: &Plan, sealed: &Sealed<Bytes>) -> Result<(), Fault>;

    /// Makes a result of another caller's load. Runs the user's `Clone`.
    fn take_flight_result(&mut self, flight_result: &FlightResult) -> bool;

    /// Returns the result for followers: the value, or the whole result if it can be cloned. Runs the user's `Clone`.
    fn flight_result(&self) -> FlightResult;

    /// Returns the ttl under which the result is stored: `None` values under `none_ttl`, errors under `err_ttl`. Copies
    /// what is stored, by the user's `Clone`.
    fn to_store(&mut self, job: &Job, keeps_errors: bool) -> Option<Ttl>;

    /// Returns true for a value, false for an error, `None` without a result.
    fn is_value(&self) -> Option<bool>;

    /// Returns the error of the result as text. Runs the user's `Display`.
    fn shown(&self) -> Option<String>;

    /// Returns the name of the error's type.
    fn error_type(&self) -> &'static str;

    /// Returns whether errors can be serialized.
    fn has_error_bytes(&self) -> bool;

    /// Returns whether values can be compared.
    fn is_comparable(&self) -> bool;

    /// Sets the result aside as the cached one, before the function runs to verify it.
    fn set_aside(&mut self);

    /// Makes the cached result the answer again.
    fn restore(&mut self);

    /// Drops the result that is not the cached one.
    fn forget(&mut self);

    /// Describes how the result differs from the cached one, if it does. Without a result the function has panicked.
    fn difference(&self) -> Option<&'static str>;
}
