//! `'static` in a return type, spelled or hidden: in async functions, their futures are `Send` all the same.
#![deny(warnings, missing_docs)]

use std::borrow::Cow;
use std::error::Error;

use retainit::{invalidate, retain, retain_put};

type Word = &'static str;
type Boxed = Box<dyn Error + Send + Sync>;
type Answer<T> = Result<T, Boxed>;

#[retain]
async fn boxed(n: u8) -> Result<u8, Box<dyn Error + Send + Sync>> {
    if n == 0 { Err("zero".into()) } else { Ok(n) }
}

#[retain]
async fn answer(text: &str) -> Answer<String> {
    Ok(text.to_owned())
}

#[retain]
async fn refused(n: u8) -> Result<u8, &'static str> {
    n.checked_sub(1).ok_or("zero")
}

#[retain]
async fn word(a: &str, b: &[u8]) -> &'static str {
    if a.len() > b.len() { "a" } else { "b" }
}

#[retain(skip(b))]
async fn maybe(a: &String, b: &str) -> Option<&'static str> {
    a.starts_with(b).then_some("yes")
}

#[retain(tags("cow:{n}"))]
async fn cow(n: u8) -> Cow<'static, str> {
    Cow::Owned(n.to_string())
}

#[retain(err_ttl = "1s", err_if = |error| error.len() > 3)]
async fn aliases(n: u8) -> Result<Word, Word> {
    if n == 0 { Err("zero") } else { Ok("more") }
}

#[retain]
fn nested(n: u8) -> Vec<Option<Word>> {
    vec![(n > 0).then_some("yes")]
}

#[retain(key = text.len(), when = |result| result.is_ok())]
async fn by_length(text: &str) -> Result<Cow<'static, str>, Boxed> {
    Ok(Cow::Owned(answer(text).await?))
}

#[retain(handle = off)]
async fn bare(n: u8) -> Answer<Word> {
    boxed(n).await.map(|_| "yes")
}

#[retain_put(of = cow, key = (n,))]
async fn write(n: u8) -> Cow<'static, str> {
    Cow::Owned(n.to_string())
}

#[invalidate(of = boxed, key = (n,))]
async fn drop_boxed(n: u8) -> Answer<u8> {
    Ok(n)
}

struct Service;

impl Service {
    #[retain(skip(self))]
    async fn method(&self, text: &str) -> Answer<usize> {
        Ok(text.len())
    }

    #[retain(skip(self))]
    async fn word(&self, _n: u8) -> Word {
        "yes"
    }

    #[retain(assoc)]
    async fn associated(n: u8) -> Result<u8, &'static str> {
        Ok(n)
    }
}

trait Named {
    fn name(&self, n: u8) -> impl Future<Output = &'static str> + Send;
}

impl Named for Service {
    #[retain(skip(self), handle = off)]
    async fn name(&self, n: u8) -> &'static str {
        self.word(n).await
    }
}

/// A program spawns what it awaits.
async fn sent<F: Future + Send>(future: F) -> F::Output {
    future.await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(sent(boxed(1)).await.ok(), Some(1));
    assert_eq!(sent(async { answer("a").await.ok() }).await.as_deref(), Some("a"));
    assert_eq!(sent(refused(0)).await, Err("zero"));
    assert_eq!(sent(async { word("a", &[]).await }).await, "a");
    assert_eq!(sent(async { maybe(&"a".to_owned(), "b").await }).await, None);
    assert_eq!(sent(cow(1)).await, "1");
    assert_eq!(sent(aliases(0)).await, Err("zero"));
    assert_eq!(nested(1), [Some("yes")]);
    assert_eq!(sent(by_length("a")).await.ok().as_deref(), Some("a"));
    assert_eq!(sent(bare(1)).await.ok(), Some("yes"));
    assert_eq!(sent(write(2)).await, "2");
    assert_eq!(sent(drop_boxed(1)).await.ok(), Some(1));
    assert_eq!(sent(Service.method("a")).await.ok(), Some(1));
    assert_eq!(sent(Service.word(1)).await, "yes");
    assert_eq!(sent(Service::associated(1)).await, Ok(1));
    assert_eq!(sent(Service.name(1)).await, "yes");
    let _ = sent(async { (boxed::cache().get(&1).await, boxed::cache().refresh(1).await) }).await;
    let _ = sent(async { word::cache().warm([("a".to_owned(), vec![1])]).await }).await;
    let _ = sent(async { (cow::cache().get_entry(&1).await, cow::cache().explain(&1).await) }).await;
    let _ = sent(async { (aliases::cache().refresh(1).await, aliases::cache().clear().await) }).await;
    let _ = sent(async { Service::method_cache().get("a").await }).await;
}
