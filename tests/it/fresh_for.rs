//! The ttl that a value brings along: `ttl = |value| …`, `ttl_of`, loaders that return it.

use std::time::Duration;

use retainit::{CallOptions, ErrorKind, EventKind, MemoryConfig, Overrides, Retainit, Ttl, retain, retain_put};
use retainit_testkit::ByteConfig;
use serde::{Deserialize, Serialize};

use crate::common::{Gate, Runs, Stage, patient, soon};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Token {
    text: String,
    expires_in: u64,
}

fn token(expires_in: u64) -> Token {
    Token { text: "secret".into(), expires_in }
}

#[retain(id = "fresh.token", ttl = |token| Duration::from_secs(token.expires_in))]
async fn api_token(expires_in: u64) -> Token {
    token(expires_in)
}

#[retain(id = "fresh.token_sync", ttl = |token| Duration::from_secs(token.expires_in))]
fn api_token_sync(expires_in: u64) -> Token {
    token(expires_in)
}

/// The closure sees what is stored: of an error nothing, of `None` only if `none_ttl` stores it, which then decides.
#[retain(id = "fresh.perhaps", none_ttl = "7s", ttl = |token| token.as_ref().expect("`None` has its own").expires_in)]
async fn perhaps(expires_in: Option<u64>) -> Result<Option<Token>, String> {
    match expires_in {
        Some(0) => Err("refused".into()),
        other => Ok(other.map(token)),
    }
}

/// A text that is read at each store, as `IntoTtl` reads it.
#[retain(id = "fresh.text", ttl = |text: &String| text.clone())]
async fn text(ttl: &str) -> String {
    TEXTS.add();
    assert!(ttl != "panics", "as it should");
    ttl.to_owned()
}

static TEXTS: Runs = Runs::new();

/// A closure that panics costs the caller nothing but the cache.
#[retain(id = "fresh.panics", ttl = |value: &u64| { assert!(*value != 13, "as it should"); Ttl::Never })]
fn unlucky(value: u64) -> u64 {
    value
}

struct Shop;

impl Shop {
    #[retain(id = "fresh.method", skip(self), when = |token| token.expires_in != 99, ttl = |token| token.expires_in)]
    async fn token(&self, expires_in: u64) -> Token {
        token(expires_in)
    }
}

#[retain(id = "fresh.generic", ttl = |value: &Vec<T>| if value.is_empty() { Ttl::Off } else { Ttl::Never })]
fn generic<T>(values: Vec<T>) -> Vec<T>
where
    T: retainit::TypeTag + Clone + Send + Sync + Serialize + 'static,
{
    values
}

fn seconds(ttl: Option<Option<Duration>>) -> Option<u64> {
    ttl.map(|ttl| ttl.expect("it expires").as_secs())
}

// T-134: no ttl is too long, whatever the jitter and the store.
#[tokio::test]
async fn the_longest_ttl_is_one() {
    for jitter in [0.0, 1e-300, 0.5, 1.0] {
        for memory in [true, false] {
            let builder = patient();
            let builder = match memory {
                true => builder.register_backend("default", MemoryConfig::new().jitter(jitter)),
                false => builder.register_backend("default", ByteConfig::new().jitter(jitter)),
            };
            let cache = builder.build().unwrap().cache::<u64>("longest").build().unwrap();
            for (key, ttl) in [Duration::MAX, Duration::from_millis(u64::MAX)].into_iter().enumerate() {
                cache.set_with(&key, 1, CallOptions::new().ttl(ttl)).await.unwrap();
                let is_there = jitter == 1.0 || cache.get(&key).await.unwrap().is_hit();
                assert!(is_there, "jitter {jitter}, in memory: {memory}, {ttl:?}");
                assert_eq!(cache.get_or_load_with_ttl(&(key + 10), async || (2, ttl)).await, 2);
            }
        }
    }
}

#[tokio::test]
async fn a_value_says_how_long_it_is_fresh() {
    for stage in Stage::each() {
        stage
            .run(async {
                api_token(90).await;
                api_token(5).await;
                let ttl = async |id| seconds(api_token::cache().ttl(&id).await.unwrap());
                assert_eq!((ttl(90).await, ttl(5).await), (Some(90), Some(5)));
                stage.seconds(5);
                assert_eq!((ttl(90).await, ttl(5).await), (Some(85), None));
                api_token(0).await;
                assert_eq!(api_token::cache().ttl(&0).await.unwrap(), Some(None), "zero is never, as everywhere");
                Shop.token(8).await;
                Shop.token(99).await;
                let shop = Shop::token_cache();
                assert_eq!(seconds(shop.ttl(&8).await.unwrap()), Some(8));
                assert!(shop.get(&99).await.unwrap().is_miss(), "`when` comes first");
            })
            .await;
        stage.run_sync(|| {
            api_token_sync(30);
            assert_eq!(seconds(api_token_sync::cache().ttl(&30).unwrap()), Some(30));
            api_token_sync::cache().refresh(30);
            assert_eq!(seconds(api_token_sync::cache().ttl(&30).unwrap()), Some(30));
        });
    }
}

#[tokio::test]
async fn a_refresh_and_warm_ask_the_value_too() {
    for stage in Stage::each() {
        stage
            .run(async {
                let tokens = api_token::cache();
                tokens.refresh(40).await;
                tokens.warm([41]).await.unwrap();
                let ttls = [seconds(tokens.ttl(&40).await.unwrap()), seconds(tokens.ttl(&41).await.unwrap())];
                assert_eq!(ttls, [Some(40), Some(41)]);
            })
            .await;
    }
}

#[test]
fn a_generic_function_has_it_too() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        generic::<u8>(vec![]);
        generic(vec![1u8]);
        let stats = generic::cache::<u8>().stats();
        assert_eq!((stats.loads, stats.total_keys), (2, 1));
    });
}

#[tokio::test]
async fn none_and_errors_have_their_own() {
    for stage in Stage::each() {
        stage
            .run(async {
                perhaps(None).await.unwrap();
                perhaps(Some(60)).await.unwrap();
                perhaps(Some(0)).await.unwrap_err();
                let ttl = async |id| seconds(perhaps::cache().ttl(&id).await.unwrap());
                assert_eq!((ttl(None).await, ttl(Some(60)).await, ttl(Some(0)).await), (Some(7), Some(60), None));
            })
            .await;
    }
}

// "overrides win": those around the call, and those of files above the attribute; files below it do not.
#[tokio::test]
async fn overrides_take_precedence() {
    for stage in Stage::each() {
        stage
            .run(async {
                retainit::with(Overrides::new().ttl("3s"), api_token(90)).await;
                assert_eq!(seconds(api_token::cache().ttl(&90).await.unwrap()), Some(3));
            })
            .await;
    }
    let with = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("retainit.toml");
        std::fs::write(&file, text).unwrap();
        Retainit::builder().config_file(&file).variables([("X", "")]).build().unwrap()
    };
    let explained = async |instance: &Retainit| {
        retainit::with_instance(instance, async {
            api_token(90).await;
            let explained = api_token::cache().explain(&90).await.unwrap();
            let ttl = explained.options().iter().find(|option| option.name == "ttl").unwrap().clone();
            (api_token::cache().ttl(&90).await.unwrap().flatten().map(|ttl| ttl.as_secs() > 50), ttl.value, ttl.source)
        })
        .await
    };
    let above = with("[retainit.override.functions.\"fresh.token\"]\nttl = \"9s\"");
    let (is_long, value, source) = explained(&above).await;
    assert_eq!((is_long, value.as_str()), (Some(false), "9s"));
    assert!(source.contains("above the attribute"), "{source}");
    let below = with("[retainit.functions.\"fresh.token\"]\nttl = \"9s\"");
    let (is_long, value, source) = explained(&below).await;
    assert_eq!((is_long, value.as_str(), source.as_str()), (Some(true), "of the value", "attribute"));
    let backend = Retainit::builder().register_backend("default", MemoryConfig::new().ttl("2s")).build().unwrap();
    assert_eq!(explained(&backend).await.0, Some(true));
}

#[tokio::test]
async fn a_ttl_that_cannot_be_used_is_reported() {
    for stage in Stage::each() {
        TEXTS.take();
        let recorded = retainit::testing::record(&stage.retainit, EventKind::CacheError);
        stage
            .run(async {
                for ttl in ["soon", "soon", "off", "off", "5m", "5m"] {
                    assert_eq!(text(ttl).await, ttl);
                }
            })
            .await;
        assert_eq!(TEXTS.take(), 5, "only what has a ttl is stored");
        let errors = recorded.take();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].error().unwrap().contains("soon"), "{errors:?}");
        stage.run_sync(|| assert_eq!((unlucky(13), unlucky(13), unlucky(1)), (13, 13, 1)));
    }
}

#[retain_put(of = api_token, key = (expires_in,))]
async fn renew(expires_in: u64, really: u64) -> Result<Token, String> {
    if really == 0 { Err("no".into()) } else { Ok(token(really)) }
}

#[retain_put(of = text, key = (key,))]
async fn rewrite(key: &str, value: &str) -> String {
    value.to_owned()
}

// "stores the result with the ttl … of `user`".
#[tokio::test]
async fn retain_put_uses_the_ttl_of_its_function() {
    for stage in Stage::each() {
        stage
            .run(async {
                api_token(90).await;
                renew(90, 20).await.unwrap();
                assert_eq!(seconds(api_token::cache().ttl(&90).await.unwrap()), Some(20));
                assert_eq!(api_token(90).await, token(20));
                retainit::with(Overrides::new().ttl("3s"), renew(90, 20)).await.unwrap();
                assert_eq!(seconds(api_token::cache().ttl(&90).await.unwrap()), Some(3));

                for value in ["soon", "off"] {
                    rewrite("1h", "1h").await;
                    assert!(text::cache().get("1h").await.unwrap().is_hit());
                    rewrite("1h", value).await;
                    assert!(text::cache().get("1h").await.unwrap().is_miss(), "nothing older stays: {value}");
                }
            })
            .await;
    }
}

// ---------------------------------------------------------------------------------------------------------- caches

#[tokio::test]
async fn a_cache_computes_the_ttl_of_values() {
    for stage in Stage::each() {
        let tokens = stage.retainit.cache::<Token>("fresh.tokens");
        let most = 1_000;
        let tokens = tokens.ttl("1s").ttl_of(move |token| token.expires_in.min(most)).build().unwrap();
        tokens.get_or_load(&1, || async { token(50) }).await;
        tokens.set(&2, token(60)).await.unwrap();
        assert!(tokens.set_if_absent(&3, token(2_000)).await.unwrap());
        tokens.set_with(&4, token(60), CallOptions::new().ttl("4s")).await.unwrap();
        let loaded: Result<_, String> = tokens.try_get_or_load(&5, || async { Ok(token(70)) }).await;
        loaded.unwrap();
        tokens.blocking().get_or_load(&6, || token(80));
        let mut ttls = Vec::new();
        for key in 1..=6 {
            ttls.push(seconds(tokens.ttl(&key).await.unwrap()).unwrap());
        }
        assert_eq!(ttls, [50, 60, 1_000, 4, 70, 80]);
        let ttl = tokens.explain(&1).await.unwrap();
        assert!(ttl.options().iter().any(|it| (it.name, &*it.value, &*it.source) == ("ttl", "of the value", "code")));
    }
}

#[tokio::test]
async fn what_a_cache_cannot_use() {
    for stage in Stage::each() {
        let texts = stage.retainit.cache::<Option<String>>("fresh.texts").none_ttl("7s");
        let texts = texts.ttl_of(|text| text.clone().expect("`None` has its own")).build().unwrap();
        let recorded = retainit::testing::record(&stage.retainit, EventKind::CacheError);
        let error = texts.set(&1, Some("soon".into())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        for _ in 0..2 {
            assert_eq!(texts.get_or_load(&1, || async { Some("soon".into()) }).await.as_deref(), Some("soon"));
        }
        assert_eq!((texts.stats().loads, recorded.take().len()), (2, 2));
        texts.get_or_load(&2, || async { None }).await;
        texts.set(&3, None).await.unwrap();
        let ttls = [seconds(texts.ttl(&2).await.unwrap()), seconds(texts.ttl(&3).await.unwrap())];
        assert_eq!(ttls, [Some(7), Some(7)]);
        // Nothing older stays where a value is not to be stored.
        texts.set(&4, Some("1h".into())).await.unwrap();
        texts.set(&4, Some("off".into())).await.unwrap();
        assert!(texts.get(&4).await.unwrap().is_miss());
    }
}

#[tokio::test]
async fn a_loader_returns_value_and_ttl() {
    for stage in Stage::each() {
        let tokens = stage.retainit.cache::<Token>("fresh.loaded").ttl_of(|_| "1h").build().unwrap();
        let with_ttl = tokens.get_or_load_with_ttl(&1, || async { (token(1), "5s") }).await;
        assert_eq!(with_ttl, token(1));
        let loaded =
            tokens.try_get_or_load_with_ttl(&2, || async { Ok::<_, String>((token(2), Duration::from_secs(6))) });
        loaded.await.unwrap();
        let failed = tokens.try_get_or_load_with_ttl(&3, || async { Err::<(Token, Ttl), _>("no") }).await;
        assert_eq!(failed, Err("no"));
        let blocking = tokens.blocking();
        blocking.get_or_load_with_ttl(&4, || (token(4), 8));
        blocking.try_get_or_load_with_ttl(&5, || Ok::<_, ()>((token(5), Ttl::Off))).unwrap();
        let overridden = tokens.get_or_load_with_ttl(&6, || async { (token(6), "5s") });
        retainit::with(Overrides::new().ttl("3s"), overridden).await;
        tokens.get_or_load_with_ttl(&7, || async { (token(7), "soon") }).await;
        let mut ttls = Vec::new();
        for key in 1..=7 {
            ttls.push(seconds(tokens.ttl(&key).await.unwrap()));
        }
        assert_eq!(ttls, [Some(5), Some(6), None, Some(8), None, Some(3), None]);
        // A hit runs no loader.
        assert_eq!(tokens.get_or_load_with_ttl(&1, || async { (token(9), "9s") }).await, token(1));
    }
}

static HELD: Gate = Gate::new();

// "under single-flight": one load, whatever form the calls have, and the ttl is that of the one that ran.
#[tokio::test]
async fn callers_share_one_load_and_its_ttl() {
    for stage in Stage::each() {
        let tokens = stage.retainit.cache::<Token>("fresh.shared").build().unwrap();
        let leader = tokio::spawn({
            let tokens = tokens.clone();
            async move {
                let load = || async {
                    HELD.pass().await;
                    (token(1), "5s")
                };
                tokens.get_or_load_with_ttl(&1, load).await
            }
        });
        HELD.reached().await;
        let followers: Vec<_> = (0..4u64)
            .map(|n| {
                let tokens = tokens.clone();
                tokio::spawn(async move {
                    match n % 2 {
                        0 => tokens.get_or_load_with_ttl(&1, || async { (token(7), "9s") }).await,
                        _ => tokens.get_or_load(&1, || async { token(7) }).await,
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        while tokens.stats().misses < 5 {
            tokio::task::yield_now().await;
        }
        HELD.open();
        assert_eq!(soon(leader).await.unwrap(), token(1));
        for follower in followers {
            assert_eq!(soon(follower).await.unwrap(), token(1));
        }
        assert_eq!((tokens.stats().loads, seconds(tokens.ttl(&1).await.unwrap())), (1, Some(5)));
    }
}
