//! Results of the loaders of caches, which bring a ttl along.

use std::convert::Infallible;

use retainit_plugin::Ttl;

use super::ReturnShape;

/// A value with its ttl, as loaders of caches return it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded<V> {
    pub(crate) value: V,
    /// `None` leaves it to the options.
    pub(crate) ttl: Option<Ttl>,
}

/// `Loaded<V>` and `Result<Loaded<V>, E>`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithTtl;

impl<V> ReturnShape<Loaded<V>> for WithTtl {
    type Value = V;
    type Error = Infallible;

    fn split(result: &Loaded<V>) -> std::result::Result<&V, &Infallible> {
        Ok(&result.value)
    }

    fn wrap(value: V) -> Loaded<V> {
        Loaded { value, ttl: None }
    }

    fn ttl(result: &Loaded<V>) -> Option<Ttl> {
        result.ttl
    }
}

impl<V, E> ReturnShape<std::result::Result<Loaded<V>, E>> for WithTtl {
    type Value = V;
    type Error = E;

    fn split(result: &std::result::Result<Loaded<V>, E>) -> std::result::Result<&V, &E> {
        result.as_ref().map(|loaded| &loaded.value)
    }

    fn wrap(value: V) -> std::result::Result<Loaded<V>, E> {
        Ok(Loaded { value, ttl: None })
    }

    fn ttl(result: &std::result::Result<Loaded<V>, E>) -> Option<Ttl> {
        result.as_ref().ok()?.ttl
    }
}
