use std::alloc::Layout;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Bound, ControlFlow, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

/// Name of a type that is the same in every build, process and machine: part of a generic function's identity.
///
/// The types of the standard library have one. Derive it for your own; the name is then the type's path in its crate, or
/// the text of `#[type_tag = "…"]`.
///
/// A type of another crate gets one through a type of yours, which the function is called with, or which stands for it
/// in the list of type parameters:
///
/// ```
/// # mod foreign {
/// #     #[derive(Clone, Copy)]
/// #     pub struct Currency(pub u16);
/// # }
/// # use retainit_core as retainit;
/// use retainit::TypeTag;
///
/// struct Currency(foreign::Currency);
///
/// impl TypeTag for Currency {
///     fn tag() -> String {
///         "foreign.Currency".to_owned() // the same in every build, and of no other type
///     }
/// }
/// # let _ = Currency(foreign::Currency(978)).0;
/// # assert_eq!(<Option<Currency>>::tag(), "Option<foreign.Currency>");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `TypeTag`, which is part of a generic function's identity",
    label = "no stable name",
    note = "derive `retainit::TypeTag` for it, or bound the type parameter with `TypeTag`; a type of another crate gets one \
            through a newtype of yours"
)]
pub trait TypeTag {
    /// Returns the name.
    fn tag() -> String;
}

macro_rules! tags {
    ($($type:ty)*) => {$(
        impl TypeTag for $type {
            fn tag() -> String {
                stringify!($type).to_owned()
            }
        }
    )*};
}
tags!(bool char str String u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
tags!(Path PathBuf OsStr OsString CStr CString Duration SystemTime Instant Ordering Layout Infallible);
tags!(IpAddr Ipv4Addr Ipv6Addr SocketAddr SocketAddrV4 SocketAddrV6);

/// A generic type by its name, with its parameters behind it.
macro_rules! wrappers {
    ($($wrapper:ident<$($parameter:ident $(: ?$sized:ident)?),*>)*) => {$(
        impl<$($parameter: TypeTag $(+ ?$sized)?),*> TypeTag for $wrapper<$($parameter),*> {
            fn tag() -> String {
                let parts: Vec<String> = vec![$($parameter::tag()),*];
                format!("{}<{}>", stringify!($wrapper), parts.join(","))
            }
        }
    )*};
}
wrappers! {
    Box<T: ?Sized> Arc<T: ?Sized> Rc<T: ?Sized> PhantomData<T: ?Sized> Mutex<T: ?Sized> RwLock<T: ?Sized>
    Cell<T: ?Sized> RefCell<T: ?Sized>
    Option<T> Vec<T> VecDeque<T> LinkedList<T> BinaryHeap<T> BTreeSet<T> BTreeMap<K, V> Result<T, E>
    Reverse<T> Wrapping<T> Saturating<T> Poll<T> Pin<T> Bound<T> ControlFlow<B, C>
    Range<T> RangeFrom<T> RangeTo<T> RangeInclusive<T> RangeToInclusive<T>
}
macro_rules! non_zero {
    ($($number:ident)*) => {$(
        impl TypeTag for NonZero<$number> {
            fn tag() -> String {
                concat!("NonZero<", stringify!($number), ">").to_owned()
            }
        }
    )*};
}
non_zero!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

// How a set or a map hashes is no part of what it is.
impl<T: TypeTag, S> TypeTag for HashSet<T, S> {
    fn tag() -> String {
        format!("HashSet<{}>", T::tag())
    }
}
impl<K: TypeTag, V: TypeTag, S> TypeTag for HashMap<K, V, S> {
    fn tag() -> String {
        format!("HashMap<{},{}>", K::tag(), V::tag())
    }
}
impl<T: TypeTag + ToOwned + ?Sized> TypeTag for Cow<'_, T> {
    fn tag() -> String {
        format!("Cow<{}>", T::tag())
    }
}
impl TypeTag for RangeFull {
    fn tag() -> String {
        "RangeFull".to_owned()
    }
}

macro_rules! tuples {
    () => {
        tuples!(@);
    };
    ($first:ident $($name:ident)*) => {
        tuples!(@ $first $($name)*);
        tuples!($($name)*);
    };
    (@ $($name:ident)*) => {
        impl<$($name: TypeTag),*> TypeTag for ($($name,)*) {
            fn tag() -> String {
                let parts: Vec<String> = vec![$($name::tag()),*];
                format!("({})", parts.join(","))
            }
        }
    };
}
tuples!(A B C D E F G H I J K L);

/// A function pointer by its arguments and what it returns.
macro_rules! functions {
    () => {
        functions!(@);
    };
    ($first:ident $($name:ident)*) => {
        functions!(@ $first $($name)*);
        functions!($($name)*);
    };
    (@ $($name:ident)*) => {
        impl<$($name: TypeTag,)* Z: TypeTag> TypeTag for fn($($name),*) -> Z {
            fn tag() -> String {
                let parts: Vec<String> = vec![$($name::tag()),*];
                format!("fn({})->{}", parts.join(","), Z::tag())
            }
        }
    };
}
functions!(A B C D E F);

impl<T: TypeTag + ?Sized> TypeTag for &T {
    fn tag() -> String {
        format!("&{}", T::tag())
    }
}

impl<T: TypeTag + ?Sized> TypeTag for &mut T {
    fn tag() -> String {
        format!("&mut {}", T::tag())
    }
}

impl<T: TypeTag> TypeTag for [T] {
    fn tag() -> String {
        format!("[{}]", T::tag())
    }
}

impl<T: TypeTag, const N: usize> TypeTag for [T; N] {
    fn tag() -> String {
        format!("[{};{N}]", T::tag())
    }
}

/// Returns the label of one instantiation: `name<A,B>`.
pub fn label(name: &str, tags: &[String]) -> String {
    format!("{name}<{}>", tags.join(","))
}

/// Returns the label of a method for one `Self`: `Self::name`. It is made of the compiler's names, so entries stay in
/// memory.
pub fn method_label<T: ?Sized>(name: &str) -> String {
    format!("{}::{name}", std::any::type_name::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_do_not_depend_on_the_build() {
        type Many = (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, String);
        for (tag, expected) in [
            (<HashMap<PathBuf, Arc<str>>>::tag(), "HashMap<PathBuf,Arc<str>>"),
            (<Cow<'_, [u8]>>::tag(), "Cow<[u8]>"),
            (<Box<Path>>::tag(), "Box<Path>"),
            (<NonZero<u8>>::tag(), "NonZero<u8>"),
            (std::num::NonZeroI64::tag(), "NonZero<i64>"),
            (<Range<Duration>>::tag(), "Range<Duration>"),
            (Many::tag(), "(u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,String)"),
            (<fn(u8, String) -> Option<()>>::tag(), "fn(u8,String)->Option<()>"),
            (<&mut [i8; 3]>::tag(), "&mut [i8;3]"),
            (<Result<(), IpAddr>>::tag(), "Result<(),IpAddr>"),
        ] {
            assert_eq!(tag, expected);
        }
    }
}
