//! Names that a program may have in scope: crates and modules called `core`, `std` and `retainit`, types and functions
//! of the prelude's names, traits for every type whose methods have common names.
#![deny(warnings)]

extern crate serde as core;
extern crate serde as std;

use ::retainit::{Event, TypeTag, invalidate, on, retain, retain_put};

mod retainit {}
mod serde {}

macro_rules! hide {
    ($($name:ident)*) => {$(
        #[allow(dead_code, reason = "it only has to be in scope")]
        struct $name;
    )*};
}
hide!(Option Some None Result Ok Err String Vec Box Clone Send Sync Iterator From Into Default ToString PhantomData Drop Fn FnOnce);

macro_rules! hide_macros {
    ($($name:ident)*) => {$(
        #[allow(unused_macros, reason = "it only has to be in scope")]
        macro_rules! $name { (hidden) => {} }
    )*};
}
hide_macros!(matches module_path concat file line unreachable);

mod alloc_result {
    pub(crate) use ::retainit::Result as Fallible;
}

/// Methods that would be found first.
#[allow(dead_code, reason = "it only has to be in scope")]
trait Common: Sized {
    fn new(self) {}
    fn clone(self) {}
    fn take(self) {}
    fn get(self) {}
    fn of(self) {}
    fn site(self) {}
    fn shape(self) {}
    fn storage(self) {}
    fn codec(self) {}
    fn weigh(self) {}
    fn equal(self) {}
    fn share(self) {}
    fn shown(self) {}
    fn is_none(self) {}
    fn kinds(self) {}
    fn join(self) {}
    fn find(self) {}
    fn tag(self) {}
    fn tags(self) {}
    fn how(self) {}
    fn to_string(self) {}
    fn into(self) {}
    fn map(self) {}
    fn map_or(self) {}
    fn await_(self) {}
    fn is_ok(self) {}
    fn as_ref(self) {}
    fn deref(self) {}
    fn key(self) {}
    fn value(self) {}
    fn ok(self) {}
    fn asked(self) {}
    fn sent(self) {}
    fn is_in_key(self) {}
    fn ordered(self) {}
    fn values(self) {}
    fn marker(self) {}
    fn inside(self) {}
    fn push(self) {}
    fn result(self) {}
}
impl<T> Common for T {}

#[derive(TypeTag)]
struct Pair<T, const N: usize>(::retainit::__private::std::marker::PhantomData<T>);

#[retain(key = "{id}/{name}", tags("user", "user:{id}"), ttl = "5m", max_load_time = "5s")]
fn user(id: u64, name: &str) -> alloc_result::Fallible<u64> {
    alloc_result::Fallible::Ok(id + name.len() as u64)
}

#[retain(verify = 1)]
fn optional(id: u64) -> ::retainit::__private::std::option::Option<u64> {
    ::retainit::__private::std::option::Option::Some(id)
}

#[retain(none_ttl = 5, when = |r| *r != ::retainit::__private::std::option::Option::None)]
async fn later(id: u64) -> ::retainit::__private::std::option::Option<u64> {
    ::retainit::__private::std::option::Option::Some(id)
}

#[retain(key = (id, id + 1))]
fn expression(id: u64) -> u64 {
    id
}

#[retain]
fn generic<T, const N: usize>(id: u64) -> u64 {
    id
}

#[retain(handle = off)]
fn inside(id: u64) -> u64 {
    id
}

struct Service(u64);

impl Service {
    #[retain(key = (self.0, id))]
    fn method(&self, id: u64) -> u64 {
        id
    }

    #[retain(assoc, key = "{b}:{a}")]
    fn associated(a: u64, b: u64) -> u64 {
        a + b
    }
}

#[retain_put(of = optional, key = (id,))]
fn put(id: u64) -> ::retainit::__private::std::option::Option<u64> {
    ::retainit::__private::std::option::Option::Some(id)
}

#[invalidate(of = optional, key = (id,))]
#[invalidate(tags("user:{id}"))]
fn removed(id: u64) {
    let _ = id;
}

#[on(CacheHit)]
fn hit(event: &Event) {
    let _ = event;
}

#[on(CacheMiss)]
async fn miss(event: Event) {
    let _ = event;
}

fn main() {
    assert!(user(1, "x").is_ok_and(|n| n == 2));
    optional(1);
    let _ = later(1);
    assert_eq!(expression(1), 1);
    assert_eq!(generic::<Pair<u8, 3>, 4>(1), 1);
    assert_eq!(inside(1), 1);
    assert_eq!(Service(1).method(2), 2);
    assert_eq!(Service::associated(1, 2), 3);
    put(1);
    removed(1);
    let _ = (user::cache(), optional::cache(), later::cache(), expression::cache(), generic::cache::<u8, 1>());
    let _ = (Service::method_cache(), Service::associated_cache());
}
