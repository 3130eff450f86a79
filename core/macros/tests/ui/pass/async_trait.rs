//! Methods under `#[async_trait]`, and functions that return a boxed future.
#![deny(warnings)]

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use retainit::{invalidate, retain, retain_put};

#[async_trait]
trait Repo: Send + Sync {
    async fn get(&self, id: u64, name: &str) -> Result<u64, String>;
    async fn all(&self) -> Vec<String>;

    #[retain(skip(self), handle = off, id = "repo.provided")]
    async fn provided(&self, id: u64) -> u64 {
        id
    }
}

struct Service(u64);

#[async_trait]
impl Repo for Service {
    #[retain(key = (self.0, id, name), tags("user:{id}"), handle = off, err_ttl = "1s", when = |r| r.is_ok())]
    async fn get(&self, id: u64, name: &str) -> Result<u64, String> {
        std::future::ready(()).await;
        if name.is_empty() {
            return Err("empty".to_owned());
        }
        Ok(self.0 + id)
    }

    #[retain(skip(self), handle = off)]
    async fn all(&self) -> Vec<String> {
        vec![self.0.to_string()]
    }
}

#[async_trait(?Send)]
trait Local {
    async fn local(&self, id: u64) -> u64;
}

#[async_trait(?Send)]
impl Local for Service {
    #[retain(skip(self), handle = off)]
    async fn local(&self, id: u64) -> u64 {
        let rc = std::rc::Rc::new(id);
        std::future::ready(()).await;
        *rc
    }
}


#[retain(ttl = "5m")]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { id })
}

#[retain(key = "{name}")]
fn borrowed<'a>(name: &'a str, id: &'a u64) -> Pin<Box<dyn Future<Output = Option<u64>> + Send + 'a>> {
    Box::pin(async move { Some(name.len() as u64 + *id) })
}

impl Service {
    #[retain(skip(self))]
    fn method<'a>(&'a self, id: u64) -> Pin<Box<dyn Future<Output = u64> + Send + 'a>> {
        Box::pin(async move { self.0 + id })
    }
}

#[retain_put(of = boxed, key = (id,))]
#[invalidate(of = boxed)]
fn put(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { id })
}


#[tokio::main(flavor = "current_thread")]
async fn main() {
    let service = Service(1);
    let repo: &dyn Repo = &service;
    assert_eq!(repo.get(1, "x").await, Ok(2));
    assert_eq!(repo.get(1, "").await, Err("empty".to_owned()));
    assert_eq!(repo.all().await, ["1"]);
    assert_eq!(repo.provided(4).await, 4);
    assert_eq!(service.local(3).await, 3);
    assert_eq!(boxed(1).await, 1);
    assert_eq!(boxed::cache().refresh(2).await, 2);
    assert_eq!(borrowed("x", &1).await, Some(2));
    assert!(borrowed::cache().get("x").await.unwrap().is_hit());
    assert_eq!(service.method(1).await, 2);
    assert!(Service::method_cache().get(&1).await.unwrap().is_hit());
    assert_eq!(put(1).await, 1);
}
