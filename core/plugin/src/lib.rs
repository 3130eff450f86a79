//! The contracts between retainit's engine and its plugins.
//!
//! | you write | implement | example |
//! |---|---|---|
//! | a store of bytes behind a network | [`Backend`] | Redis, S3 |
//! | a store of bytes that blocks | [`LocalBackend`] | a disk |
//! | a store of values as they are | [`ObjectBackend`] | memory |
//! | a receiver of events | [`Subscriber`], [`SubscriberConfig`] | `logging`, `audit` |
//! | its configuration | [`BackendConfig`] | `MemoryConfig` |
//!
//! The engine does the rest: keys, serialization, freshness, single-flight, tags and statistics. Abilities of a backend
//! beyond the few required methods are declared in [`Capabilities`]; the engine uses no others.
//!
//! A linked plugin makes itself known with [`register_backend!`]; nothing else names it.

mod backend;
mod cached_entry;
mod cancellation;
mod capabilities;
mod caught;
mod clock;
mod config;
mod error;
mod event;
mod fence;
mod file;
mod group;
mod listener;
mod liveness;
mod local;
#[doc(hidden)]
pub mod lock;
mod object;
mod process;
mod read;
mod registration;
mod scan;
mod section;
mod serializer;
mod store;
mod subscriber;
mod ttl;
mod weigh;

pub use async_trait::async_trait;
pub use backend::{Backend, Versions};
pub use bytes::Bytes;
pub use cached_entry::{CachedEntry, Contained, EntryMeta, EntryTimes, StoredValue};
pub use cancellation::CancellationToken;
pub use capabilities::Capabilities;
pub use caught::{caught, panicked};
pub use clock::{Clock, Moment, SystemClock};
pub use config::{BackendConfig, Built, Context, Settings};
pub use erased_serde;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind, EventKinds, EventParts, actor, set_actor};
pub use fence::Fence;
pub use file::{open_file, open_own_file, read_file};
pub use group::{GroupVersion, GroupVersions, KnownVersions, Strength, TagEpoch};
pub use listener::{Listener, Removal, RemovalCause};
pub use liveness::{GroupNames, Liveness, LivenessCheck};
pub use local::LocalBackend;
pub use object::{EntryAddress, EntryRef, InsertMode, Inserted, NewEntry, ObjectBackend, ObjectFence, Visit};
#[doc(hidden)]
pub use process::on_fork;
pub use process::{PerProcess, Process};
pub use read::{Read, Snapshot, WantedFence};
pub use registration::{Offer, Part, Registration, UrlFields, UrlScheme, linked_plugins, offered_plugins};
pub use scan::{Page, Scan};
pub use section::{
    ByteSize, Complete, Count, Field, FieldState, FieldValue, Fraction, HIDDEN, IntoField, Limit, Literal, Problem,
    Secret, SecretSource, Section, check,
};
pub use serde_json::Value;
pub use serializer::{ReadValue, Serializer, ValueType};
pub use smallvec::{SmallVec, smallvec};
pub use store::{Seal, StoreCondition, StoreOptions, Stored};
pub use subscriber::{QueuePolicy, Spill, Subscriber, SubscriberConfig, SubscriberContext};
pub use ttl::{IntoTtl, Ttl, compact};
pub use weigh::Weigh;

#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
