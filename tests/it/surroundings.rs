//! Surroundings of a retained function: boxed futures, macros, callers that are asked for.

use std::collections::HashMap;
use std::future::Future;
use std::panic::Location;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use retainit::{Lookup, TypeTag, invalidate, retain, retain_put};

use crate::common::{Runs, Stage};

#[async_trait]
trait Repo: Sync {
    async fn name(&self, id: u64, prefix: &str) -> Result<String, String>;

    #[retain(skip(self), handle = off, id = "surroundings.provided")]
    async fn provided(&self, id: u64) -> u64 {
        BOXED.add();
        id
    }
}

static BOXED: Runs = Runs::new();

struct Db(&'static str);

#[async_trait]
impl Repo for Db {
    #[retain(key = (id, prefix), tags("name:{id}"), handle = off, id = "surroundings.name")]
    async fn name(&self, id: u64, prefix: &str) -> Result<String, String> {
        BOXED.add();
        tokio::task::yield_now().await;
        if prefix.is_empty() { Err(String::new()) } else { Ok(format!("{prefix}{}{id}", self.0)) }
    }
}

// A method under `#[async_trait]` is cached as any async one: hits, errors that are not stored, tags, single-flight.
#[tokio::test]
async fn under_async_trait() {
    for stage in Stage::each() {
        BOXED.take();
        let (one, other): (&dyn Repo, &dyn Repo) = (&Db("a"), &Db("b"));
        assert_eq!(stage.run(one.name(1, "x")).await, Ok("xa1".to_owned()));
        assert_eq!(stage.run(other.name(1, "x")).await, Ok("xa1".to_owned()), "the key leaves the database out");
        assert_eq!(stage.run(one.name(1, "")).await, Err(String::new()));
        assert_eq!(stage.run(one.name(1, "")).await, Err(String::new()));
        assert_eq!(BOXED.take(), 3);
        stage.retainit.invalidate_tag("name:1").await.unwrap();
        assert_eq!(stage.run(other.name(1, "x")).await, Ok("xb1".to_owned()));
        let both = async { tokio::join!(one.name(2, "x"), one.name(2, "x")) };
        assert_eq!(stage.run(both).await, (Ok("xa2".to_owned()), Ok("xa2".to_owned())));
        assert_eq!(BOXED.take(), 2);
        assert_eq!(stage.run(async { (one.provided(1).await, one.provided(1).await) }).await, (1, 1));
        assert_eq!(BOXED.take(), 1);
    }
}

#[retain(key = "{name}", tags("boxed"))]
fn boxed<'a>(name: &'a str, length: &'a usize) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + 'a>> {
    // Before the first poll of what is returned, which a hit never comes to.
    BOXED.add();
    Box::pin(async move { (!name.is_empty()).then_some(name.len() + length) })
}

#[retain_put(of = boxed, key = (name))]
fn put(name: &str) -> Pin<Box<dyn Future<Output = Option<usize>> + Send + '_>> {
    Box::pin(async move { Some(name.len()) })
}

#[invalidate(of = boxed)]
#[invalidate(tags("boxed"))]
fn changed(ok: bool) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
    Box::pin(async move { if ok { Ok(()) } else { Err(String::new()) } })
}

// Functions that return a boxed future have handles, and the attributes of writers know them.
#[tokio::test]
async fn boxed_futures() {
    for stage in Stage::each() {
        BOXED.take();
        stage
            .run(async {
                assert_eq!((boxed("x", &1).await, boxed("x", &2).await), (Some(2), Some(2)));
                assert_eq!((boxed("", &1).await, boxed("", &1).await), (None, None));
                assert_eq!(BOXED.take(), 3);
                assert_eq!(boxed::cache().refresh(("y".to_owned(), 4)).await, Some(5));
                assert!(matches!(boxed::cache().get("y").await.unwrap(), Lookup::Hit { value: Some(5), .. }));
                put("yy").await;
                assert_eq!(boxed("yy", &40).await, Some(2));
                changed(false).await.unwrap_err();
                assert_eq!(boxed("yy", &40).await, Some(2));
                assert_eq!(BOXED.take(), 1);
                changed(true).await.unwrap();
                assert_eq!(boxed("yy", &40).await, Some(42));
            })
            .await;
    }
}

#[retain]
#[track_caller]
fn called_from(id: u64) -> (u64, u32) {
    (id, Location::caller().line())
}

#[retain(handle = off)]
#[track_caller]
fn called_without_handle(id: u64) -> (u64, u32) {
    (id, Location::caller().line())
}

#[retain]
#[track_caller]
fn generic_called_from<T: TypeTag>(id: u64) -> (u64, u32) {
    (id, Location::caller().line())
}

impl Db {
    #[retain(skip(self))]
    #[track_caller]
    fn called_from(&self, id: u64) -> (u64, u32) {
        (id, Location::caller().line())
    }

    #[retain(assoc)]
    #[track_caller]
    fn called_without_self(id: u64) -> (u64, u32) {
        (id, Location::caller().line())
    }
}

// `#[track_caller]` has its effect: the function's body sees where the retained function was called.
#[test]
fn callers() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        let calls = [
            (line!(), called_from(1)),
            (line!(), called_without_handle(2)),
            (line!(), generic_called_from::<u8>(3)),
            (line!(), Db("a").called_from(4)),
            (line!(), Db::called_without_self(5)),
        ];
        for (line, (id, seen)) in calls {
            assert_eq!(seen, line, "{id}");
        }
    });
}

macro_rules! lookups {
    ($($name:ident($arg:ident: $ty:ty), $key:expr, $none:literal, $when:expr;)*) => {$(
        #[retain(key = $key, none_ttl = $none, when = $when)]
        fn $name($arg: $ty) -> Option<usize> {
            THROUGH_MACROS.add();
            Some($arg.len()).filter(|length| *length > 0)
        }
    )*};
}
static THROUGH_MACROS: Runs = Runs::new();
lookups! {
    by_length(text: &str), text.len(), "1h", |_| true;
    by_text(text: &str), text, 60, |found| found.is_some();
}

// Options that come through a `macro_rules!` hold as if they stood there.
#[test]
fn options_through_macro_rules() {
    for stage in Stage::each() {
        THROUGH_MACROS.take();
        stage.run_sync(|| {
            assert_eq!(
                (by_length("ab"), by_length("cd"), by_length(""), by_length("")),
                (Some(2), Some(2), None, None)
            );
            assert_eq!(THROUGH_MACROS.take(), 2);
            assert_eq!((by_text("ab"), by_text("cd"), by_text(""), by_text("")), (Some(2), Some(2), None, None));
            assert_eq!(THROUGH_MACROS.take(), 4);
        });
    }
}

static TAGGED: Runs = Runs::new();

#[retain(id = "surroundings.tagged")]
fn tagged<T: TypeTag>(id: u64) -> (u64, String) {
    TAGGED.add();
    (id, T::tag())
}

// Generic functions are told apart by types of the standard library, on every backend.
#[test]
fn standard_types() {
    for stage in Stage::each() {
        TAGGED.take();
        stage.run_sync(|| {
            let tags = [
                tagged::<PathBuf>(1).1,
                tagged::<Duration>(1).1,
                tagged::<HashMap<String, Arc<str>>>(1).1,
                tagged::<Box<[u8]>>(1).1,
                tagged::<(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64, bool, char)>(1).1,
                tagged::<PathBuf>(1).1,
            ];
            assert_eq!(tags[0], tags[5]);
            assert_eq!(tags[2], "HashMap<String,Arc<str>>");
            assert_eq!(TAGGED.take(), 5);
        });
    }
}
