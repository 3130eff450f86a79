//! Values, and the operations on them that the engine needs whatever their type: splitting a return type, writing as
//! bytes and reading back, comparing, weighing.

mod bounded;
mod codec;
mod digest;
mod fingerprint;
mod format;
mod kinds;
mod loaded;
mod ops;
mod option_tag;
mod read_back;
mod return_ops;
mod round_trip;
mod storage;

pub use codec::Codec;
pub(crate) use codec::{Encoded, Sealed, Types};
pub(crate) use format::{Deadline, Format};
pub use kinds::ValueKinds;
pub(crate) use loaded::{Loaded, WithTtl};
pub use ops::Ops;
pub(crate) use option_tag::OptionTag;
pub(crate) use read_back::{ReadBack, altered, is_altered};
pub use return_ops::*;
pub(crate) use return_ops::{copied, is_none, weigh_serialized};
pub use storage::{Behind, Direct, NotStorable, Shared, Storage};
