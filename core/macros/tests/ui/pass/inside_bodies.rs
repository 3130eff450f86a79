//! Functions inside bodies, of one name in two bodies and in two modules, over types that only the body knows.
#![deny(warnings, missing_docs)]

use retainit::retain;

mod a {
    use retainit::retain;

    /// Of a.
    #[retain]
    pub(crate) fn user(id: u64) -> String {
        format!("a{id}")
    }
}

mod b {
    use retainit::retain;

    #[retain]
    pub(super) fn user(id: u64) -> String {
        format!("b{id}")
    }
}

fn first() -> u8 {
    #[derive(Clone)]
    struct Local(u8);

    #[retain]
    fn local(n: u8) -> Option<Local> {
        Some(Local(n + 1))
    }
    let _ = local::cache().get(&1);
    local(1).map_or(0, |local| local.0)
}

fn second() -> u8 {
    #[retain(handle = off)]
    fn local(n: u8) -> u8 {
        n + 2
    }
    local(1)
}

async fn third() -> u8 {
    #[retain]
    async fn local(n: u8) -> u8 {
        n + 3
    }
    let _ = local::cache().get(&1).await;
    local(1).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!((a::user(1), b::user(1)), ("a1".to_owned(), "b1".to_owned()));
    let _ = (a::user::cache().get(&1), b::user::cache().get(&1));
    assert_eq!((first(), second(), third().await), (2, 3, 4));
    use a::user;
    assert_eq!(user(1), "a1");
    let _ = user::cache().get(&1);
}
