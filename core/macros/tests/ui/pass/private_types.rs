//! Functions that are more visible than the types they use.
#![deny(warnings)]
#![allow(private_interfaces)]

use retainit::retain;
use serde::Serialize;

#[derive(Clone, Serialize)]
struct User(u8);

/// As visible as it gets, over a type that is not.
#[retain]
pub fn user(user: &User) -> User {
    user.clone()
}

mod inner {
    use super::{Serialize, retain};

    #[derive(Clone, Serialize, Default)]
    pub(super) struct Private(u8);

    #[retain]
    pub async fn private(p: Private, n: u8) -> Option<Private> {
        Some(Private(p.0 + n))
    }

    #[derive(Clone, Serialize, Default)]
    struct Hidden(u8);

    #[retain]
    pub(crate) fn hidden(n: u8) -> Hidden {
        Hidden(n)
    }

    pub(crate) fn get() -> u8 {
        hidden(3).0
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(user(&User(1)).0, 1);
    assert!(inner::private(inner::Private::default(), 1).await.is_some());
    assert_eq!(inner::get(), 3);
}
