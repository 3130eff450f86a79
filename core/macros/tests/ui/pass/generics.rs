//! Generic functions over types with a tag, and over constants.
#![deny(warnings, missing_docs)]

use std::fmt::Display;

use retainit::{TypeTag, retain};
use serde::Serialize;

/// A type of the program's.
#[derive(TypeTag, Clone, Serialize)]
pub struct Point(u8);

/// A generic one.
#[derive(TypeTag)]
#[type_tag = "tests.Pair"]
pub struct Pair<T, const N: usize>(std::marker::PhantomData<T>);

/// Names it, per type.
#[retain]
pub fn name<T: TypeTag + Display + Serialize>(x: T) -> String {
    x.to_string()
}

#[retain(key = "{b}/{a}", tags("sum"))]
#[allow(clippy::needless_lifetimes)]
async fn sum<'a, const N: usize, const SIGN: bool, T>(a: &'a T, b: u64) -> Option<u64>
where
    T: Into<u64> + Copy + Serialize + Sync,
{
    Some((*a).into() + b + N as u64 + u64::from(SIGN))
}

#[retain(handle = off)]
fn default<T: Default + Clone + Send + Sync + 'static>() -> T {
    T::default()
}

struct Holder<T>(T);

impl<T: Clone> Holder<T> {
    #[retain(skip(self))]
    fn convert<U: Serialize + Into<u64> + Copy>(&self, x: U) -> u64 {
        let _ = &self.0;
        x.into()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!((name(1u8), name("x")), ("1".to_owned(), "x".to_owned()));
    let _ = name::cache::<u8>().get(&1u8);
    assert_eq!(sum::<2, true, u8>(&1, 3).await, Some(7));
    assert_eq!(sum::<2, false, u8>(&1, 3).await, Some(6));
    let _ = sum::cache::<2, true, u8>().get(&(1u8, 3)).await;
    assert_eq!((default::<u8>(), default::<String>()), (0, String::new()));
    assert_eq!(Holder(1).convert(3u8), 3);
    let _ = Holder::<u8>::convert_cache::<u8>().get(&3);
    assert!(Point::tag().ends_with("::Point"));
    assert_eq!(<Pair<u8, 3> as TypeTag>::tag(), format!("tests.Pair<{},3>", u8::tag()));
    assert_eq!(Point(1).clone().0, 1);
}
