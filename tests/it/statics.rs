//! Return types with `'static` in them, spelled or behind an alias: cached like others, with futures that are `Send`.

use std::borrow::Cow;
use std::error::Error;

use retainit::{Retainit, retain};

use crate::common::{Runs, Stage};

type Word = &'static str;
type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

static RUNS: Runs = Runs::new();

#[retain]
async fn length(text: &str) -> Result<usize, Box<dyn Error + Send + Sync>> {
    RUNS.add();
    if text.is_empty() { Err("empty".into()) } else { Ok(text.len()) }
}

#[retain]
async fn owned(n: u8) -> Cow<'static, str> {
    RUNS.add();
    Cow::Owned(n.to_string())
}

#[retain(skip(_token))]
async fn label(n: u8, _token: &str) -> Answer<Cow<'static, str>> {
    RUNS.add();
    Ok(Cow::Owned(n.to_string()))
}

#[retain(backend = "memory")]
async fn reference(n: u8) -> Option<&'static str> {
    RUNS.add();
    (n > 0).then_some("yes")
}

#[retain(backend = "memory", err_ttl = "1m")]
async fn aliased(n: u8) -> Result<Word, Word> {
    RUNS.add();
    if n == 0 { Err("zero") } else { Ok("more") }
}

#[retain(backend = "memory")]
fn nested(n: u8) -> Vec<Option<Word>> {
    RUNS.add();
    vec![(n > 0).then_some("yes")]
}

struct Service;

impl Service {
    #[retain(skip(self), id = "statics.count")]
    async fn count(&self, text: &str) -> Answer<usize> {
        RUNS.add();
        Ok(text.len())
    }
}

/// Runs a future as a program does that spawns it.
async fn sent<F: Future + Send>(future: F) -> F::Output {
    future.await
}

// The future of an `async fn` is `Send`, whatever lifetimes its return type names.
#[tokio::test]
async fn functions_with_static_lifetimes_are_cached() {
    for stage in Stage::each() {
        RUNS.take();
        let calls = async {
            for _ in 0..2 {
                assert_eq!(length("ab").await.unwrap(), 2);
                assert_eq!(owned(1).await, "1");
                assert_eq!(label(2, "secret").await.unwrap(), "2");
                assert_eq!(
                    (reference(1).await, aliased(0).await, aliased(1).await),
                    (Some("yes"), Err("zero"), Ok("more"))
                );
                assert_eq!((nested(1), Service.count("abc").await.unwrap()), (vec![Some("yes")], 3));
            }
            assert_eq!(RUNS.take(), 8, "each of them ran once");
            assert!(length("").await.is_err() && length("").await.is_err());
            assert_eq!(RUNS.take(), 2, "an error is not stored");
        };
        stage.run(sent(calls)).await;
        stage.retainit.clear().await.unwrap();
        let handles = async {
            let warmed = length::cache().warm(["a".to_owned(), "b".to_owned()]).await.unwrap();
            assert_eq!((warmed.loaded, RUNS.take()), (2, 2));
            assert_eq!(length::cache().refresh("a".to_owned()).await.unwrap(), 1);
            assert_eq!(aliased::cache().refresh(1).await, Ok("more"));
            assert_eq!(RUNS.take(), 2);
            assert_eq!((length("a").await.unwrap(), length("b").await.unwrap(), aliased(1).await), (1, 1, Ok("more")));
            assert_eq!(aliased::cache().get(&1).await.unwrap().value(), Some("more"));
            assert!(aliased::cache().remove(&1).await.unwrap() && length::cache().exists("b").await.unwrap());
            assert_eq!(RUNS.take(), 0, "what was refreshed and warmed is there");
        };
        stage.run(sent(handles)).await;
    }
}

#[tokio::test]
async fn caches_of_such_values() {
    let retainit = Retainit::default();
    let words = retainit.cache::<Word>("words").build_local().unwrap();
    let found = sent(async {
        words.set(&1, "one").await.unwrap();
        words.try_get_or_load(&2, || async { Answer::Ok("two") }).await.unwrap();
        words.get_many(&[1, 2, 3]).await.unwrap()
    });
    let found: Vec<_> = found.await.into_iter().map(retainit::Lookup::value).collect();
    assert_eq!(found, [Some("one"), Some("two"), None]);
}
