//! The contracts between retainit's engine and its plugins.
//!
//! | you write | implement | example |
//! |---|---|---|
//! | a store of bytes behind a network | [`Backend`] | Redis, S3 |
//! | a store of bytes that blocks | [`LocalBackend`] | a disk |
//! | a store of values as they are | [`ObjectBackend`] | memory |
//! | something that hears events | [`Subscriber`], [`SubscriberConfig`] | `logging`, `audit` |
//! | its configuration | [`BackendConfig`] | `MemoryConfig` |
//!
//! The engine does the rest: keys, serialization, freshness, single-flight, tags and statistics. What a backend can
//! do beyond the few required methods it declares in [`Capabilities`]; the engine asks for nothing it does not
//! declare.
//!
//! A linked plugin makes itself known with [`register_backend!`]; nothing else names it.

mod backend;
mod capabilities;
mod caught;
mod clock;
mod config;
mod error;
mod event;
mod fence;
mod group;
mod kept;
mod listener;
mod object;
mod registration;
mod section;
mod serializer;
mod subscriber;
mod ttl;
mod weigh;

pub use async_trait::async_trait;
pub use backend::{Backend, LocalBackend, Page, Read, Scan, Snapshot, Stored, Terms, Versions, When};
pub use bytes::Bytes;
pub use capabilities::Capabilities;
pub use caught::{caught, panicked};
pub use clock::{Clock, Moment, SystemClock};
pub use config::{BackendConfig, Built, Context, Settings};
pub use erased_serde;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, EventKind, EventKinds, EventParts, actor, set_actor};
pub use fence::Fence;
pub use group::{Group, Mark, Strength, Version};
pub use kept::{Contained, Extra, Kept, Life, StoredValue};
pub use listener::{Listener, Removal, RemovalCause};
pub use object::{Entry, Inserted, NewEntry, ObjectBackend, Place, Put, Visit};
pub use registration::{Part, Registration, linked_plugins};
pub use section::{
    ByteSize, Complete, Count, Field, FieldValue, Fraction, HIDDEN, IntoField, Limit, Problem, Secret, Section,
    Setting, check,
};
pub use serde_json::Value;
pub use serializer::{ReadValue, Serializer, ValueType};
pub use subscriber::{QueuePolicy, Spill, Subscriber, SubscriberConfig, SubscriberContext};
pub use ttl::{IntoTtl, Ttl, compact};
pub use weigh::Weigh;

#[doc(hidden)]
pub mod __private {
    pub use inventory;
}
