//! Re-exports the items that generated code uses, and nothing else. It is not public API, and no module of the crate
//! imports it.

pub use inventory;
/// The standard library where generated code finds it: `::std` may be another crate in a program.
pub use std;

pub use crate::requirements;

pub use crate::cache::{
    invalidate_all, invalidate_all_sync, invalidate_key, invalidate_key_sync, invalidate_tags, invalidate_tags_sync,
    put, put_sync,
};
pub use crate::call::{
    Begun, Call, CallRules, Check, KeyPart, KeyPartByValue, KeyValue, Pinned, PutTarget, Reload, ReloadSync, Reloaded,
    RetainedFunction, RuleAnswer, RuleQuestion, Run, Running, begin, error_is, finish, hit, key_value, look, own_key,
    put_key, reload_sync, run, succeeded, tag, ttl_of, ttl_of_any, verify, verify_closure, when,
};
pub use crate::engine::{How, Outcome};
pub use crate::event::{OnCall, OnHandler};
pub use crate::handle::{AnyHandle, Handle, ReloadHandle, SyncAnyHandle, SyncHandle, SyncReloadHandle};
pub use crate::key::{Args, KeyBuf, KeyError, KeySource, Sink, StdArgs, Template, Values};
pub use crate::runtime::Boxed;
pub use crate::site::{Descriptor, Known, Linked, Site, TypeTag, duration, label, method_label, ttl, ttl_secs};
pub use crate::value::*;
pub use crate::{__on as on, __return_ops as return_ops, __submit as submit, Error, Result, Ttl};
