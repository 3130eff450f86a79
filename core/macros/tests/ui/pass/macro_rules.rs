//! Options and functions that come through a `macro_rules!`.
#![deny(warnings)]

use retainit::{invalidate, retain, retain_put};

macro_rules! fixed {
    ($name:ident, $put:ident, $handle:ident) => {
        #[retain(
            ttl = "1h", none_ttl = "1h", err_ttl = "1s", err_if = |e| !e.is_empty(), when = |r| r.is_ok(), verify = 1,
            key = "{id}:{name}", tags("user", "user:{id}"), handle = $handle
        )]
        fn $name(id: u64, name: &str) -> Result<Option<u64>, String> {
            if id == 0 { Err(name.to_owned()) } else { Ok(Some(id)) }
        }

        #[retain_put(of = $handle, key = (id, name))]
        #[invalidate(tags("user:{id}"))]
        fn $put(id: u64, name: &str) -> Result<Option<u64>, String> {
            if id == 0 { Err(name.to_owned()) } else { Ok(Some(id)) }
        }
    };
}
fixed!(fixed_fn, fixed_put, Fixed);

macro_rules! given {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty, $key:expr, $ttl:literal, $none:expr,
     $tag:expr, $skip:ident, $when:expr, $id:literal, $version:literal, $backend:literal; $body:block) => {
        $(#[$meta])*
        #[retain(ttl = $ttl, none_ttl = $none, key = $key, tags($tag, "all"), skip($skip), when = $when, id = $id,
                 version = $version, backend = $backend, jitter = 0.1)]
        $vis fn $name($($arg: $ty),*) -> $out $body
    };
}
given! {
    /// Documented.
    #[must_use]
    pub(crate) fn given_fn(id: u64, name: String, secret: u8) -> Option<usize>,
    (id, name.len()), "5m", 10, "user:{id}", secret, |r| r.is_some(), "given.fn", 2, "default";
    { let _ = secret; Some(id as usize + name.len()) }
}

macro_rules! template {
    ($key:literal, $name:ident, $($arg:ident: $ty:ty),*) => {
        #[retain(key = $key)]
        async fn $name($($arg: $ty),*) -> u64 { 0 $(+ u64::from($arg))* }
    };
}
template!("{a}-{b}", templated, a: u64, b: u32);

macro_rules! keyed {
    ($name:ident($arg:ident: $ty:ty), $k:expr) => {
        #[retain(key = $k)]
        async fn $name($arg: $ty) -> usize { $arg.len() }
    };
}
keyed!(keyed_fn(text: String), text.len());
keyed!(keyed_place(text: String), text);
keyed!(keyed_tuple(text: String), (&text, 1, text.len()));

macro_rules! item {
    ($item:item) => {
        #[retain(ttl = 5)]
        $item
    };
}
item! {
    fn as_item(id: u64) -> u64 { id }
}

macro_rules! meta {
    ($meta:meta) => {
        #[$meta]
        fn as_meta(id: u64) -> u64 { id }
    };
}
meta!(retain(ttl = "5m", tags("user:{id}")));

macro_rules! methods {
    ($ty:ident, $self:ident, $key:expr, $($name:ident)*) => {
        impl $ty {
            $(
                #[retain(key = $key)]
                fn $name(&$self, id: u64) -> u64 { id + $self.0 }
            )*
        }
    };
}
struct Service(u64);
methods!(Service, self, self.0, first second);

macro_rules! async_methods {
    ($ty:ident, $($name:ident)*) => {
        impl $ty {
            $(
                #[retain(skip(self), none_ttl = "1s")]
                async fn $name(&self, id: u64) -> Option<u64> { Some(id) }
            )*
        }
    };
}
async_methods!(Service, third fourth);

#[retain(ttl = 5, none_ttl = "1h", key = id)]
fn plain(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {
    plain(1);
    let _ = (fixed_fn(1, "x"), fixed_put(1, "x"), Fixed::cache());
    let _ = (given_fn(1, "x".to_owned(), 2), given_fn::cache());
    let _ = (templated(1, 2), keyed_fn(String::new()), keyed_place(String::new()), keyed_tuple(String::new()));
    let _ = (as_item(1), as_meta(1));
    let _ = (Service(1).first(1), Service(1).second(1), Service(1).third(1), Service(1).fourth(1));
}
