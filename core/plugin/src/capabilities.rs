/// Abilities of a backend beyond its required methods.
///
/// The engine uses only declared abilities. [`native_ttl`](Capabilities::native_ttl), [`shared`](Capabilities::shared)
/// and [`persistent`](Capabilities::persistent) change nothing in it: conformance suites test them.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::Capabilities;
///
/// let memcached = Capabilities::none().fences().set_if_absent().native_ttl().shared();
/// assert!(memcached.has_fences() && !memcached.has_scan());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    bits: u16,
}

macro_rules! abilities {
    ($($bit:literal $declare:ident $ask:ident $doc:literal;)*) => {
        impl Capabilities {
            $(
                #[doc = concat!("Declares: ", $doc)]
                #[must_use]
                pub const fn $declare(mut self) -> Self {
                    self.bits |= 1 << $bit;
                    self
                }

                #[doc = concat!("Whether it declares: ", $doc)]
                pub const fn $ask(self) -> bool {
                    self.bits & (1 << $bit) != 0
                }
            )*

            /// Returns the declared abilities by name, for `explain` and conformance suites.
            pub fn names(self) -> Vec<&'static str> {
                let mut names = Vec::new();
                $(if self.$ask() { names.push(stringify!($declare)); })*
                names
            }
        }
    };
}

abilities! {
    0 fences has_fences "a store can be made conditional on the fence that a read before it has seen or taken. Without it the \
        bound on a stale fill is the ttl.";
    1 versions has_versions "counters of groups are kept beside the entries, so that an invalidation reaches every \
        process.";
    2 scan has_scan "keys can be listed by prefix, so patterns and counts work.";
    3 set_if_absent has_set_if_absent "a store can be made conditional on an empty slot, atomically.";
    4 native_ttl has_native_ttl "entries past their time leave by themselves.";
    5 shared is_shared "other processes see the same entries.";
    6 persistent is_persistent "entries survive a restart of this process.";
    7 cancellation has_cancellation "a store that its caller has given up changes nothing: a blocking backend asks \
        `StoreOptions::check` under the lock that every store and removal takes.";
    8 function_bounds has_function_bounds "an object backend bounds the entries of one function, see \
        `NewEntry::max_entries`. A function that sets `max_entries` is refused by others.";
    9 leases has_leases "a placeholder can be renewed and given back, so that it can be the lease of a load, or of a \
        lock, that other processes wait for.";
}

impl Capabilities {
    /// Declares no ability: only the required methods.
    pub const fn none() -> Self {
        Capabilities { bits: 0 }
    }
}
