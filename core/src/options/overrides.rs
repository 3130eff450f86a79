use std::sync::Arc;

use retainit_plugin::{Error, IntoTtl, Ttl};

use super::{NO_IDLE_TIME, Options, setters, with_options};

/// Options for every retained call below a future or a closure.
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::Overrides;
///
/// let short = Overrides::new().ttl("1s").backend("memory");
/// # let _ = short;
/// ```
///
/// An unusable value (an unreadable ttl, a backend that is not registered) makes the calls under it run uncached, with
/// a `cache_error`.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Overrides {
    pub(crate) backend: Option<Arc<str>>,
    pub(crate) options: Options,
    pub(crate) problem: Option<Arc<str>>,
}

macro_rules! setter {
    ([$a:tt $b:tt $c:tt scope] time $(#[doc = $doc:literal])* $name:ident $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub fn $name(mut self, ttl: impl IntoTtl) -> Overrides {
            self.options.$name = self.read(ttl);
            self
        }
    };
    ([$a:tt $b:tt $c:tt scope] idle $(#[doc = $doc:literal])* $name:ident $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub fn $name(mut self, time: impl IntoTtl) -> Overrides {
            self.options.$name = self.read(time);
            if self.options.$name == Some(Ttl::Off) {
                self.refuse(format!("{}: {NO_IDLE_TIME}", stringify!($name)));
            }
            self
        }
    };
    ([$a:tt $b:tt $c:tt scope] fraction $(#[doc = $doc:literal])* $name:ident $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub fn $name(mut self, fraction: f64) -> Overrides {
            if (0.0..=1.0).contains(&fraction) {
                self.options.$name = Some(fraction);
            } else {
                self.refuse(format!(concat!(stringify!($name), " {} is not between 0 and 1"), fraction));
            }
            self
        }
    };
    ([$a:tt $b:tt $c:tt scope] flag $(#[doc = $doc:literal])* $name:ident $($rest:tt)*) => {
        $(#[doc = $doc])*
        pub fn $name(mut self, $name: bool) -> Overrides {
            self.options.$name = Some($name);
            self
        }
    };
    ([$a:tt $b:tt $c:tt -] $($rest:tt)*) => {};
}

impl Overrides {
    /// Makes overrides that set nothing.
    pub fn new() -> Overrides {
        Overrides::default()
    }

    /// Sets another backend. Removals reach the function's own backend too.
    pub fn backend(mut self, name: impl Into<Arc<str>>) -> Overrides {
        self.backend = Some(name.into());
        self
    }

    with_options!(setters);

    fn read(&mut self, ttl: impl IntoTtl) -> Option<Ttl> {
        ttl.into_ttl().map_err(|error: Error| self.refuse(error.report())).ok()
    }

    fn refuse(&mut self, problem: String) {
        self.problem = Some(problem.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.backend.is_none() && self.options == Options::NONE && self.problem.is_none()
    }

    /// Fills the overrides left open from `outer`.
    pub(crate) fn over(&self, outer: &Overrides) -> Overrides {
        Overrides {
            backend: self.backend.clone().or_else(|| outer.backend.clone()),
            options: self.options.over(&outer.options),
            problem: self.problem.clone().or_else(|| outer.problem.clone()),
        }
    }
}
