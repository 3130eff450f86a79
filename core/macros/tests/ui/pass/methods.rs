//! Methods, functions of an `impl`, trait impls and default methods.
#![deny(warnings, missing_docs)]

use std::future::Future;

use retainit::retain;

/// A service.
pub struct Service<T> {
    tenant: String,
    value: T,
}

impl<T: Clone + Send + Sync> Service<T> {
    /// Nothing in `self` matters.
    #[retain(skip(self))]
    pub fn plain(&self, id: u64) -> u64 {
        id + 1
    }

    /// Part of `self` matters.
    #[retain(key = (self.tenant, id), tags("tenant"))]
    pub async fn tenant(&self, id: u64) -> Result<String, String> {
        let _ = &self.value;
        Ok(format!("{}{id}", self.tenant))
    }

    #[retain(skip(self), key = "{b}/{a}")]
    fn templated(&mut self, mut a: u64, b: &str) -> String {
        a += 1;
        self.tenant.push_str(b);
        format!("{b}{a}")
    }

    #[retain(skip(self))]
    fn consuming(self, id: u64) -> u64 {
        id
    }

    /// Without `self`.
    #[retain(assoc)]
    pub fn count(id: u64) -> u64 {
        id
    }

    #[retain(assoc, handle = numbers)]
    async fn list(id: u64) -> u64 {
        id
    }

    #[retain(assoc, handle = off)]
    fn hidden(id: u64) -> u64 {
        id
    }
}

/// Another type with a method of the same name.
pub struct Other<'a>(&'a str);

impl Other<'_> {
    #[retain(key = (self.0, id))]
    fn plain(&self, id: u64) -> Option<u64> {
        Some(id)
    }
}

trait Repo {
    fn get(&self, id: u64) -> u64;
    fn list(&self, id: &str) -> impl Future<Output = Result<String, String>> + Send;
    fn make(id: u64) -> u64;

    #[retain(skip(self), handle = off)]
    fn default(&self, id: u64) -> u64 {
        id
    }
}

impl<T: Send + Sync> Repo for Service<T> {
    #[retain(skip(self), handle = off)]
    fn get(&self, id: u64) -> u64 {
        id
    }

    #[retain(key = (self.tenant.as_str(), id), handle = off)]
    async fn list(&self, id: &str) -> Result<String, String> {
        let found: Result<&str, String> = Ok(id);
        Ok(format!("{}{}", self.tenant, found?))
    }

    #[retain(assoc, handle = off)]
    fn make(id: u64) -> u64 {
        id
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut service = Service { tenant: "t".to_owned(), value: 1u8 };
    assert_eq!(service.plain(1), 2);
    assert_eq!(service.tenant(1).await.as_deref(), Ok("t1"));
    assert_eq!(service.templated(1, "b"), "b2");
    let _ = Service::<u8>::plain_cache().get(&1);
    let _ = Service::<u8>::tenant_cache().get(&("tb", 1)).await;
    let _ = Service::<u8>::templated_cache().get(&(1, "b"));
    assert_eq!((Service::<u8>::count(3), Service::<u8>::hidden(4)), (3, 4));
    assert_eq!(Service::<u8>::list(3).await, 3);
    let _ = Service::<u8>::count_cache().get(&3);
    let _ = Service::<u8>::numbers_cache().get(&3).await;
    assert_eq!((service.get(5), service.default(7), <Service<u8> as Repo>::make(8)), (5, 7, 8));
    assert_eq!(Repo::list(&service, "x").await.as_deref(), Ok("tbx"));
    assert_eq!(service.consuming(6), 6);
    assert_eq!(Other("x").plain(1), Some(1));
    let _ = Other::plain_cache().get(&("x", 1));
}
