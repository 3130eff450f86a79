use super::Types;

/// Operations that the values of a function allow.
#[derive(Clone, Copy, Debug)]
pub struct ValueKinds {
    /// Type, if it can be serialized.
    pub(crate) types: Option<fn() -> Types>,
    pub(crate) weight: bool,
    pub(crate) equality: bool,
    /// True if a whole result that is an error can be serialized.
    pub(crate) errors: bool,
    /// True if removals are to be reported with their values.
    pub(crate) removals: bool,
}
