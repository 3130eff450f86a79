//! What happens between a call and its answer.

mod bytes;
mod codec;
mod envelope;
mod face;
pub(crate) mod flight;
mod function;
pub(crate) mod groups;
pub(crate) mod invalidate;
mod keys;
mod load;
mod lookup;
mod names;
mod observe;
mod pending;
pub(crate) mod plan;
mod serve;
mod store;
mod verify;
mod write;

pub(crate) use bytes::ByteStore;
pub(crate) use codec::{Deadline, Format, Rarely};
pub(crate) use envelope::Outermost;
pub(crate) use face::Face;
pub(crate) use function::{Function, incomparable, volatile_errors};
pub use keys::Keys;
pub(crate) use keys::{Walk, Wanted, is_dead};
pub use load::{How, Outcome};
pub(crate) use load::{Job, load, load_sync};
pub(crate) use lookup::{BytesLook, BytesLooked, Hit, Look, Looked, lookup_bytes, lookup_object, why_unread};
pub(crate) use names::Names;
pub(crate) use pending::{Owed, Pending};
pub(crate) use plan::{Plan, PlanRef};
pub(crate) use store::{Ear, Kind, Store};
pub(crate) use verify::{Verifying, is_verifying};
pub(crate) use write::{Mode, Value, Write, write};
