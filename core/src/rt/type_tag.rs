use std::sync::Arc;

/// A name of a type that is the same in every build, process and machine: part of a generic function's identity.
///
/// Derive it for your own types; the name is then the type's path in its crate, or what `#[type_tag = "…"]` says.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `TypeTag`, which is part of a generic function's identity",
    label = "no stable name",
    note = "derive `retainit::TypeTag` for it, or bound the type parameter with `TypeTag`"
)]
pub trait TypeTag {
    /// The name.
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

macro_rules! wrappers {
    ($($wrapper:ident)*) => {$(
        impl<T: TypeTag> TypeTag for $wrapper<T> {
            fn tag() -> String {
                format!("{}<{}>", stringify!($wrapper), T::tag())
            }
        }
    )*};
}
wrappers!(Option Vec Box Arc);

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: TypeTag),*> TypeTag for ($($name,)*) {
            fn tag() -> String {
                let parts: Vec<String> = vec![$($name::tag()),*];
                format!("({})", parts.join(","))
            }
        }
    };
}
tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);

impl<T: TypeTag + ?Sized> TypeTag for &T {
    fn tag() -> String {
        format!("&{}", T::tag())
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

impl<T: TypeTag, E: TypeTag> TypeTag for Result<T, E> {
    fn tag() -> String {
        format!("Result<{},{}>", T::tag(), E::tag())
    }
}

/// `name<A,B>`: the label of one instantiation.
pub fn label(name: &str, tags: &[String]) -> String {
    format!("{name}<{}>", tags.join(","))
}

/// `Self::name`: the label of a method for one `Self`. It rests on the compiler's names and stays in memory.
pub fn method_label<T: ?Sized>(name: &str) -> String {
    format!("{}::{name}", std::any::type_name::<T>())
}
