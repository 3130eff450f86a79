//! A crate that re-exports retainit under another name.
#![deny(warnings)]

mod framework {
    pub(crate) mod prelude {
        pub(crate) use ::retainit as kept;
    }
}

mod retainit {
    //! In the way of a path that is not absolute.
}

use ::retainit::{TypeTag, invalidate, retain, retain_put};

#[derive(TypeTag)]
#[type_tag(crate = crate::framework::prelude::kept)]
struct Tagged;

#[retain(crate = crate::framework::prelude::kept)]
fn user(id: u64) -> u64 {
    id
}

#[retain_put(crate = crate::framework::prelude::kept, of = user, key = (id,))]
fn save(id: u64) -> u64 {
    id
}

#[invalidate(crate = crate::framework::prelude::kept, of = user)]
fn clear() {}

fn main() {
    assert_eq!((user(1), save(2)), (1, 2));
    clear();
    assert!(Tagged::tag().ends_with("::Tagged"));
}
