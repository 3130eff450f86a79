//! Temporary overrides: they travel with a future or a closure, nest, and never leak.

use std::time::Duration;

use retainit::{CallOptions, MemoryConfig, Overrides, Retainit, retain};
use retainit_testkit::{ByteConfig, ManualClock};

use crate::common::{Gate, Runs, Stage, soon};

#[retain(id = "overrides.user", ttl = "1h", tags("t"))]
async fn user(id: u64) -> u64 {
    id
}

#[retain(id = "overrides.sync")]
fn user_sync(id: u64) -> u64 {
    SYNC.add() + id
}

static SYNC: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn ttl_of(id: u64) -> Option<u64> {
    user::cache().ttl(&id).await.unwrap().map(|ttl| ttl.unwrap().as_secs())
}

/// Builds instances with two backends, each of both kinds of store, under their names.
fn two() -> [Retainit; 2] {
    let builder = || Retainit::builder().clock(ManualClock::new()).default_backend("main");
    let memory = || MemoryConfig::new();
    let bytes = || ByteConfig::new().jitter(0.0);
    [
        builder().register_backend("main", memory()).register_backend("other", bytes()).build().unwrap(),
        builder().register_backend("main", bytes()).register_backend("other", memory()).build().unwrap(),
    ]
}

// T-59, D-05
#[tokio::test]
async fn with_overrides_and_nesting_field_by_field() {
    for instance in two() {
        let other = || Overrides::new().backend("other");
        retainit::with_instance(&instance, async {
            retainit::with(other(), async {
                retainit::with(Overrides::new().ttl("5s"), async {
                    user(1).await;
                    assert_eq!(ttl_of(1).await, Some(5), "the inner ttl, the outer backend");
                })
                .await;
                retainit::with(Overrides::new().backend("main").ttl("7s"), async {
                    assert_eq!(ttl_of(1).await, None);
                    user(2).await;
                })
                .await;
                assert_eq!((ttl_of(1).await, ttl_of(2).await), (Some(5), None));
                user(3).await;
                assert_eq!(ttl_of(3).await, Some(3_600));
            })
            .await;
            assert_eq!((ttl_of(1).await, ttl_of(2).await, ttl_of(3).await), (None, Some(7), None));
        })
        .await;
    }
}

// T-60
#[tokio::test]
async fn disabled_reads_and_stores_nothing() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        SYNC.take();
        stage.run_sync(|| {
            let cached = user_sync(0);
            retainit::disabled_sync(|| {
                assert_eq!((user_sync(0), user_sync(0)), (2, 3));
                assert!(user_sync::cache().get(&0).unwrap().is_miss());
                retainit::with_sync(Overrides::new().disabled(false), || assert_eq!(user_sync(0), cached));
                assert!(retainit::with_sync(Overrides::new().ttl("1s"), || user_sync(0)) > cached);
                user_sync(77);
            });
            assert_eq!(user_sync(0), cached);
            assert!(!user_sync::cache().exists(&77).unwrap());
        });
        stage.run(retainit::disabled(user(5))).await;
        assert!(!stage.run(user::cache().exists(&5)).await.unwrap());
    }
}

static HELD: Gate = Gate::new();

async fn held_under(ttl: &str, id: u64) -> Option<u64> {
    let overrides = Overrides::new().ttl(ttl);
    retainit::with(overrides, async {
        user(id).await;
        HELD.pass().await;
        user(id + 1).await;
        ttl_of(id + 1).await
    })
    .await
}

// "never leak to another task": three tasks take turns on one thread.
#[tokio::test]
async fn overrides_never_leak_to_another_task() {
    for stage in Stage::each() {
        let in_stage = |f| retainit::with_instance(&stage.retainit, f);
        let one = tokio::spawn(in_stage(held_under("1s", 10)));
        HELD.reached().await;
        let two = tokio::spawn(in_stage(held_under("2s", 20)));
        HELD.reached().await;
        stage.run(user(30)).await;
        let spawned = stage.run(retainit::with(Overrides::new().ttl("3s"), async {
            let inner = stage.retainit.clone();
            let bare = tokio::spawn(async move { retainit::with_instance(&inner, user(31)).await });
            let carried = tokio::spawn(retainit::propagate(user(32)));
            (bare.await.unwrap(), carried.await.unwrap())
        }));
        spawned.await;
        HELD.open();
        HELD.open();
        assert_eq!((soon(one).await.unwrap(), soon(two).await.unwrap()), (Some(1), Some(2)));
        let ttls = stage.run(async { (ttl_of(30).await, ttl_of(31).await, ttl_of(32).await) }).await;
        assert_eq!(ttls, (Some(3_600), Some(3_600), Some(3)), "only what was propagated keeps them");
    }
}

// A panic or a drop in the middle leaves nothing in force on the thread.
#[test]
fn overrides_end_with_a_panic() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    let stage = Stage::memory();
    SYNC.take();
    stage.run_sync(|| {
        let panics = || retainit::disabled_sync(|| panic!("as it should"));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(user_sync(500), user_sync(500));
    });
}

// A bad value makes the calls under it run uncached, with an error that is counted and never theirs.
#[tokio::test]
async fn bad_values_run_uncached() {
    for stage in Stage::each() {
        let bad = [
            Overrides::new().backend("nowhere"),
            Overrides::new().ttl("soon"),
            Overrides::new().ttl(-1),
            Overrides::new().jitter(1.5),
        ];
        for overrides in bad {
            let errors = stage.retainit.stats().errors;
            assert_eq!(stage.run(retainit::with(overrides.clone(), user(1))).await, 1);
            assert!(stage.retainit.stats().errors > errors, "{overrides:?}");
            assert!(!stage.run(user::cache().exists(&1)).await.unwrap());
            let error = stage.run(retainit::with(overrides, user::cache().get(&1))).await.unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }
}

// Removals under an override also reach the function's own backend.
#[tokio::test]
async fn removals_reach_the_functions_own_backend() {
    for instance in two() {
        let other = || Overrides::new().backend("other");
        retainit::with_instance(&instance, async {
            for how in 0..4 {
                user(1).await;
                retainit::with(other(), user(1)).await;
                retainit::with(other(), async {
                    match how {
                        0 => assert!(user::cache().remove(&1).await.unwrap()),
                        1 => assert_eq!(user::cache().clear().await.unwrap().count(), Some(2)),
                        2 => retainit::invalidate_tag("t").await.unwrap(),
                        _ => assert_eq!(retainit::clear().await.unwrap().count(), Some(2)),
                    }
                    assert!(!user::cache().exists(&1).await.unwrap(), "way {how}");
                })
                .await;
                assert!(!user::cache().exists(&1).await.unwrap(), "way {how}");
            }
            user(1).await;
            retainit::with(Overrides::new().backend("nowhere"), user::cache().remove(&1)).await.unwrap();
            assert!(!user::cache().exists(&1).await.unwrap(), "also where the override cannot be used");
            user(1).await;
            retainit::disabled(user::cache().remove(&1)).await.unwrap();
            assert!(!user::cache().exists(&1).await.unwrap(), "also under `disabled`");
        })
        .await;
    }
}

// Flights are those of one effective plan: a caller under another ttl does not wait for this one's.
#[tokio::test]
async fn callers_under_other_options_load_for_themselves() {
    static LOADING: Gate = Gate::new();
    #[retain(id = "overrides.loading")]
    async fn loading(id: u64) -> u64 {
        LOADING.pass().await;
        id
    }
    for stage in Stage::each() {
        let one = tokio::spawn(retainit::with_instance(&stage.retainit, loading(1)));
        LOADING.reached().await;
        let under = retainit::with(Overrides::new().ttl("5s"), loading(1));
        let two = tokio::spawn(retainit::with_instance(&stage.retainit, under));
        LOADING.reached().await;
        LOADING.open();
        LOADING.open();
        assert_eq!((soon(one).await.unwrap(), soon(two).await.unwrap()), (1, 1));
    }
}

// Caches without the macro obey them too.
#[tokio::test]
async fn caches_obey_overrides() {
    for instance in two() {
        let cache = instance.cache::<u64>("c").ttl("1h").build().unwrap();
        retainit::with(Overrides::new().backend("other").ttl("5s"), async {
            assert_eq!(cache.get_or_load(&1, || async { 1 }).await, 1);
            assert_eq!(cache.ttl(&1).await.unwrap(), Some(Some(Duration::from_secs(5))));
        })
        .await;
        assert!(!cache.exists(&1).await.unwrap());
        cache.set(&2, 2).await.unwrap();
        retainit::disabled(async {
            assert!(cache.get(&2).await.unwrap().is_miss());
            assert_eq!(cache.get_or_load(&2, || async { 3 }).await, 3);
        })
        .await;
        assert_eq!(cache.get(&2).await.unwrap().value(), Some(2));
    }
}

static NEGATIVE: Runs = Runs::new();

#[retain(id = "overrides.negative", err_ttl = "1h")]
fn negative(id: u64) -> Result<Option<u64>, String> {
    NEGATIVE.add();
    if id == 0 { Err("zero".to_owned()) } else { Ok(None) }
}

#[test]
fn none_ttl_and_err_ttl_can_be_overridden() {
    for stage in Stage::each() {
        NEGATIVE.take();
        let under = Overrides::new().none_ttl("1m").err_ttl("2s");
        stage.run_sync(|| {
            retainit::with_sync(under, || {
                for _ in 0..2 {
                    assert_eq!((negative(0), negative(1)), (Err("zero".to_owned()), Ok(None)));
                }
                assert_eq!(NEGATIVE.take(), 2);
                stage.seconds(2);
                assert_eq!((negative(0), negative(1)), (Err("zero".to_owned()), Ok(None)));
                assert_eq!(NEGATIVE.take(), 1);
            });
        });
    }
}

// An override around the call takes precedence over the call's own options.
#[tokio::test]
async fn an_override_takes_precedence_over_the_option_of_a_call() {
    let retainit = Retainit::builder().build().unwrap();
    let cache = retainit.cache::<u8>("calls").build().unwrap();
    for (outer, own) in [("30s", "1h"), ("1h", "30s")] {
        let set = cache.set_with(&1, 1, CallOptions::new().ttl(own));
        retainit::with(Overrides::new().ttl(outer), set).await.unwrap();
        let left = cache.ttl(&1).await.unwrap().flatten().expect("it expires");
        assert_eq!(left > Duration::from_secs(60), outer == "1h", "{outer} over {own}: {left:?}");
    }
}
