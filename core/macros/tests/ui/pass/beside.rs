//! Beside other attributes, with every kind of function there is.
#![deny(warnings, missing_docs, unused, nonstandard_style, future_incompatible, rust_2018_idioms, keyword_idents)]
#![deny(unreachable_pub, unused_qualifications, unused_lifetimes, single_use_lifetimes, missing_debug_implementations)]
#![deny(let_underscore_drop, redundant_lifetimes, unit_bindings, unused_import_braces, trivial_casts, missing_copy_implementations)]
#![deny(clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]
#![allow(unknown_lints)]

use std::fmt::Debug;
use std::sync::Arc;

use retainit::{TypeTag, retain};
use serde::Serialize;
use tracing::instrument;

/// A documented function.
///
/// Returns the id.
#[must_use]
#[retain(ttl = "5m")]
pub fn documented(id: u64) -> u64 {
    id
}

/// Beside `instrument`.
///
/// # Errors
///
/// Never.
#[retain(key = "{id}", err_ttl = "1s")]
#[instrument(skip(name))]
pub async fn below(id: u64, name: &str) -> Result<u64, String> {
    std::future::ready(()).await;
    Ok(id + name.len() as u64)
}

/// Beside `instrument`.
///
/// # Errors
///
/// Never.
#[instrument(skip_all, fields(id))]
#[retain(key = "{id}", err_ttl = "1s")]
pub async fn above(id: u64, name: &str) -> Result<u64, String> {
    std::future::ready(()).await;
    Ok(id + name.len() as u64)
}

#[instrument]
#[retain]
fn above_sync(id: u64) -> u64 {
    id
}

#[cfg_attr(all(), retain(ttl = 5))]
fn conditional(id: u64) -> u64 {
    id
}

#[cfg_attr(any(), retain(ttl = 5))]
fn never_retained(id: u64) -> u64 {
    id
}

#[retain]
#[cfg_attr(all(), must_use)]
#[inline]
#[cold]
fn many_attributes(id: u64) -> u64 {
    id
}

#[retain]
fn where_clause<T>(value: T) -> String
where
    T: Serialize + Debug + Clone,
{
    format!("{value:?}")
}

#[retain]
fn constant<const N: usize>(values: [u8; N]) -> usize
where
    [u8; N]: Serialize,
{
    values.len() + N
}

#[retain]
fn lifetimes<'a>(one: &'a str, other: &'a str) -> usize {
    one.len() + other.len()
}

#[retain]
async fn with_references(one: &str, many: &[String], shared: Arc<str>) -> usize {
    std::future::ready(()).await;
    one.len() + many.len() + shared.len()
}

/// Tagged.
#[derive(Clone, Copy, Debug, TypeTag)]
pub struct Tagged;

/// A service.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    id: u64,
}

impl Service {
    /// A method.
    #[must_use]
    #[retain(key = (self.id, n))]
    pub fn method(&self, n: u64) -> u64 {
        self.id + n
    }

    /// An async one.
    #[instrument(skip(self))]
    #[retain(skip(self))]
    pub async fn asynchronous(&self, n: u64) -> u64 {
        std::future::ready(()).await;
        self.id + n
    }

    /// Without `self`.
    #[must_use]
    #[retain(assoc)]
    pub fn associated(n: u64) -> Vec<u64> {
        vec![n]
    }

    #[retain(skip(self), handle = off)]
    fn without_handle(self, n: u64) -> u64 {
        self.id + n
    }
}

#[retain]
fn by_handle_only(id: u64) -> u64 {
    id
}

#[retain]
async fn by_async_handle_only(id: u64) -> u64 {
    id
}

impl Service {
    #[retain(skip(self))]
    fn method_by_handle_only(self, id: u64) -> u64 {
        self.id + id
    }
}

#[retain(handle = Users)]
fn named_handle(id: u64) -> u64 {
    id
}


fn main() {
    println!("{} {}", documented(1), above_sync(1));
    println!("{} {} {}", conditional(1), never_retained(1), many_attributes(1));
    println!("{} {} {}", where_clause(1_u8), constant([1, 2]), lifetimes("a", "b"));
    let service = Service { id: 1 };
    println!("{} {:?} {}", service.method(1), Service::associated(1), service.without_handle(1));
    println!("{:?} {:?}", by_handle_only::cache(), Service::method_by_handle_only_cache());
    println!("{:?} {:?}", by_async_handle_only::cache(), Users::cache());
    println!("{}", named_handle(1));
    let _futures = (below(1, "x"), above(1, "x"), with_references("a", &[], "x".into()), service.asynchronous(1));
}
