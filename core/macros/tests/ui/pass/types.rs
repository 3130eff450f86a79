//! Return types and argument types: aliases, `Arc`, lifetimes, private types, references.
#![deny(warnings, missing_docs)]

use std::borrow::Cow;
use std::sync::Arc;

use retainit::retain;
use serde::Serialize;

type Outcome<T> = Result<T, NotClone>;
type Maybe<T> = Option<T>;
type Deep = Outcome<Maybe<u8>>;

#[derive(Debug)]
struct NotClone;

#[derive(Clone, Serialize)]
struct Secret(u8);

#[retain]
fn arc(n: u8) -> Arc<Vec<u8>> {
    Arc::new(vec![n])
}

#[retain(err_if = |_| false)]
async fn alias(n: u8) -> Outcome<u8> {
    if n == 0 { Err(NotClone) } else { Ok(n) }
}

#[retain(none_ttl = "1s")]
fn maybe(n: u8) -> Maybe<u8> {
    Some(n)
}

#[retain]
async fn deep(n: u8) -> Deep {
    Ok(Some(n))
}

#[retain]
fn secret(secret: &Secret) -> Secret {
    secret.clone()
}

#[retain]
fn lifetimes<'a, 'b: 'a>(a: &'a str, b: Option<&'b str>, c: Cow<'_, str>) -> usize {
    a.len() + b.map_or(0, str::len) + c.len()
}

#[retain]
async fn one_lifetime<'a>(a: Cow<'a, str>) -> usize {
    a.len()
}

#[retain]
fn reference(n: u8) -> Option<&'static str> {
    (n > 0).then_some("yes")
}

#[retain]
fn boxed(n: u8) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    let parsed: u8 = "7".parse()?;
    Ok(parsed + n)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(*arc(1), [1]);
    assert_eq!(alias(1).await.ok(), Some(1));
    assert!(matches!(alias(0).await, Err(NotClone)));
    assert_eq!(maybe(1), Some(1));
    assert_eq!(deep(1).await.ok().flatten(), Some(1));
    assert_eq!(secret(&Secret(4)).0, 4);
    let _ = secret::cache().get(&Secret(4));
    assert_eq!(lifetimes("a", Some("b"), Cow::Borrowed("c")), 3);
    let _ = lifetimes::cache().get(&("a", Some("b"), Cow::Borrowed("c")));
    assert_eq!(one_lifetime(Cow::Borrowed("c")).await, 1);
    let _ = one_lifetime::cache().get(&Cow::Borrowed("c")).await;
    assert_eq!(reference(1), Some("yes"));
    assert_eq!(boxed(1).ok(), Some(8));
}
