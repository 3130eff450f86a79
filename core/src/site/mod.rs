//! Description of a retained function: its static, its descriptor, the tags of the types it is instantiated with.

mod descriptor;
mod known;
mod static_site;
mod type_tag;

pub use descriptor::{Descriptor, duration, ttl, ttl_secs};
pub use known::Known;
pub(crate) use static_site::linked;
pub use static_site::{Linked, Site};
pub use type_tag::{TypeTag, label, method_label};
