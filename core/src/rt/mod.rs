//! What generated code calls. No part of it is public interface.

mod call;
pub mod check;
mod codec;
mod descriptor;
mod facts;
mod faithful;
mod fingerprint;
mod function;
mod guard;
mod handle;
mod outermost;
mod site;
mod type_tag;
mod write;

pub use inventory;

pub use crate::event::{OnCall, OnHandler};
pub use crate::key::{Args, KeyBuf, KeyError, KeySource, Sink, Template, Values};
pub use crate::{__facts as facts, __on as on, __submit as submit, Error, Result};

pub use call::{
    Call, How, KeyValue, Outcome, Reloaded, Rules, error_is, hit, key_part, key_value, own_key, put_key, reload,
    reload_sync, run, run_sync, succeeded, tag, when,
};
pub(crate) use call::{contained, hit_in};
pub use codec::Codec;
pub(crate) use codec::{Encoded, Sealed, Types};
pub use descriptor::{Descriptor, duration, ttl, ttl_secs};
pub use facts::*;
pub(crate) use facts::{copied, is_none, weigh_serialized};
pub use function::{Boxed, Function, PutTarget, Reload, ReloadSync};
pub use handle::{AnyHandle, Handle, ReloadHandle, SyncAnyHandle, SyncHandle, SyncReloadHandle};
pub(crate) use site::linked;
pub use site::{Linked, Site};
pub use type_tag::{TypeTag, label, method_label};
pub use write::{
    invalidate_all, invalidate_all_sync, invalidate_key, invalidate_key_sync, invalidate_tags, invalidate_tags_sync,
    put, put_sync,
};
