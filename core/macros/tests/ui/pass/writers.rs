//! Functions that write: what they store and what they remove.
#![deny(warnings, missing_docs)]

use retainit::{invalidate, retain, retain_put};

type Outcome<T> = Result<T, String>;

/// A user.
#[derive(Clone, PartialEq, Debug)]
pub struct User(u64, String);

mod shop {
    use super::{Outcome, User, retain};

    /// By number.
    #[retain(tags("user", "user:{id}"))]
    pub async fn user(id: u64) -> Outcome<User> {
        Ok(User(id, "loaded".to_owned()))
    }

    #[retain]
    pub(crate) fn named(name: &str, region: String) -> Option<User> {
        Some(User(0, name.to_owned() + &region))
    }

    #[retain(key = (id % 2, name))]
    pub(crate) fn report(id: u64, name: &str) -> Vec<u64> {
        vec![id, name.len() as u64]
    }
}
use shop::{named, user};

#[retain_put(of = user, key = (id,))]
async fn save(id: u64, name: String) -> Outcome<User> {
    if name.is_empty() { Err("empty".to_owned()) } else { Ok(User(id, name)) }
}

// Without a `Result`, and with one of another error: the value in it is what counts.
#[retain_put(of = user, key = (id,))]
async fn save_always(id: u64) -> User {
    User(id, "always".to_owned())
}

#[retain_put(of = shop::report, key = (1, "y"))]
fn try_save_report(n: u64) -> Result<Vec<u64>, std::num::TryFromIntError> {
    Ok(vec![u8::try_from(n)?.into()])
}

#[retain_put(of = shop::named, key = (&name, region))]
fn save_named(name: String, region: &str) -> Option<User> {
    Some(User(1, name + region))
}

#[retain_put(of = shop::report, key = (1, "x"))]
fn save_report() -> Vec<u64> {
    vec![1]
}

#[invalidate(of = user, key = (id,))]
#[invalidate(of = shop::named)]
#[invalidate(tags("user", "user:{id}"))]
async fn remove(id: u64, mut name: String) -> Outcome<()> {
    name.push('x');
    if id == 0 {
        return Err(name);
    }
    Ok(())
}

#[invalidate(of = shop::report, key = (0, name))]
#[invalidate(of = named, key = (name, "eu"), tags("a"))]
fn remove_sync(name: &str) -> &str {
    name
}

struct Service(u64);

impl Service {
    #[invalidate(of = user, key = self.0)]
    #[invalidate(tags("user:{id}"))]
    async fn rename(&mut self, id: u64) {
        self.0 += id;
    }

    #[retain_put(of = named, key = ("n", &region))]
    fn store(&self, region: String) -> Option<User> {
        Some(User(self.0, region))
    }

    #[invalidate(tags("all"))]
    fn borrow(&self) -> Result<&u64, String> {
        Ok(&self.0)
    }

    #[invalidate(tags("all"))]
    fn opaque(&self) -> impl Iterator<Item = u64> + use<> {
        std::iter::once(self.0)
    }
}

fn is_send<T: Send>(future: T) -> T {
    future
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(user(1).await, Ok(User(1, "loaded".to_owned())));
    assert_eq!(is_send(save(1, "saved".to_owned())).await, Ok(User(1, "saved".to_owned())));
    assert_eq!(user(1).await, Ok(User(1, "saved".to_owned())));
    assert!(save(1, String::new()).await.is_err());
    assert_eq!(user(1).await, Ok(User(1, "saved".to_owned())));
    assert!(is_send(remove(0, "r".to_owned())).await.is_err());
    assert_eq!(remove(1, "r".to_owned()).await, Ok(()));
    assert_eq!(user(1).await, Ok(User(1, "loaded".to_owned())));

    assert_eq!((save_always(1).await.1, user(1).await.map(|user| user.1)), ("always".to_owned(), Ok("always".to_owned())));
    assert_eq!((try_save_report(7), shop::report(3, "y")), (Ok(vec![7]), vec![7]));

    assert_eq!(save_named("a".to_owned(), "eu"), Some(User(1, "aeu".to_owned())));
    assert_eq!(named("a", "eu".to_owned()), Some(User(1, "aeu".to_owned())));
    assert_eq!((save_report(), shop::report(3, "x")), (vec![1], vec![1]));
    assert_eq!(remove_sync("x"), "x");

    let mut service = Service(1);
    service.rename(1).await;
    assert_eq!(service.borrow(), Ok(&2));
    assert_eq!(service.opaque().next(), Some(2));
    assert_eq!(service.store("eu".to_owned()), Some(User(2, "eu".to_owned())));
}
