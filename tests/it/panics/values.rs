//! Values and errors that cannot be copied, weighed, written, read, compared or judged.

use std::sync::atomic::{AtomicBool, Ordering};

use retainit::{Cache, ErrorKind, IntoTtl, MemoryConfig, Retainit, Ttl, retain, retain_put};

use super::{Falls, TEXT, Touchy, id_of, told, unharmed, wait_for};
use crate::common::{Gate, Stage};

#[retain(id = "panics.touchy")]
fn touchy(id: u64, falls: Falls) -> Touchy {
    Touchy::new(id, falls)
}

#[retain(id = "panics.touchy_async")]
async fn touchy_async(id: u64, falls: Falls) -> Touchy {
    Touchy::new(id, falls)
}

#[test]
fn a_value_that_cannot_be_copied() {
    for stage in Stage::each() {
        let instance = &stage.retainit;
        stage.run_sync(|| {
            assert_eq!(told(instance, || id_of(touchy(1, Falls::Copied(1)))), 1);
            assert_eq!(told(instance, || id_of(wait_for(touchy_async(1, Falls::Copied(1))))), 1);
            assert_eq!(told(instance, || id_of(touchy::cache().refresh((1, Falls::Copied(1))))), 1);
        });
    }
    // It is there, and a hit cannot take it out.
    let stage = Stage::memory();
    let instance = &stage.retainit;
    stage.run_sync(|| {
        for falls in [Falls::Copied(2), Falls::Copied(3)] {
            id_of(touchy(5, falls));
            for _ in 0..3 {
                id_of(touchy(5, falls));
            }
            assert_eq!(told(instance, || id_of(touchy(5, falls))), 5);
        }
    });
    let cache: Cache<Touchy> = instance.cache("panics.copies").build().unwrap();
    cache.blocking().set(&1, Touchy::new(1, Falls::Copied(1))).unwrap();
    assert_eq!(unharmed(|| cache.blocking().get(&1)).unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(wait_for(cache.get(&1)).unwrap_err().kind(), ErrorKind::Backend);
    assert_eq!(told(instance, || id_of(cache.blocking().get_or_load(&1, || Touchy::new(2, Falls::Never)))), 2);
    assert_eq!(id_of(cache.blocking().get_or_load(&1, || Touchy::new(3, Falls::Never))), 2, "it was replaced");
}

#[retain_put(of = by_id, key = (value.id,))]
fn put_touchy(value: Touchy) -> Touchy {
    value
}

#[retain(id = "panics.by_id")]
fn by_id(id: u64) -> Touchy {
    Touchy::new(id, Falls::Never)
}

#[test]
fn a_write_whose_value_cannot_be_copied_leaves_nothing_old() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            by_id(1);
            told(&stage.retainit, || id_of(put_touchy(Touchy::new(1, Falls::Copied(1)))));
            assert!(!by_id::cache().exists(&1).unwrap());
        });
    }
}

#[test]
fn those_who_wait_for_a_value_that_cannot_be_copied_load_their_own() {
    let (stage, open) = (Stage::memory(), &AtomicBool::new(false));
    let cache: &Cache<Touchy> = &stage.retainit.cache("panics.shared").build().unwrap();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            let load = || {
                while !open.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Touchy::new(1, Falls::Copied(1))
            };
            id_of(cache.blocking().get_or_load(&1, load))
        });
        let follow = || id_of(cache.blocking().get_or_load(&1, || Touchy::new(2, Falls::Never)));
        while cache.stats().misses < 1 {
            std::thread::yield_now();
        }
        let followers: Vec<_> = (0..3).map(|_| scope.spawn(follow)).collect();
        while cache.stats().misses < 4 {
            std::thread::yield_now();
        }
        open.store(true, Ordering::SeqCst);
        assert_eq!(leader.join().unwrap(), 1);
        followers.into_iter().for_each(|follower| assert_eq!(follower.join().unwrap(), 2));
    });
}

#[retain(id = "panics.fails", err_ttl = "1h")]
fn fails(falls: Falls) -> Result<u64, Touchy> {
    Err(Touchy::new(9, falls))
}

#[test]
fn an_error_that_cannot_be_copied() {
    let stage = Stage::memory();
    stage.run_sync(|| {
        for falls in [Falls::Copied(1), Falls::Copied(2)] {
            let call = || id_of(fails(falls).unwrap_err());
            let calls = || (call(), call(), call());
            assert_eq!(told(&stage.retainit, calls), (9, 9, 9));
        }
    });
}

#[test]
fn a_value_that_cannot_be_weighed_written_or_read() {
    let weighing = Retainit::builder().register_backend("default", MemoryConfig::new().max_bytes("64MiB"));
    let weighing = weighing.build().unwrap();
    retainit::with_instance_sync(&weighing, || {
        assert_eq!(told(&weighing, || id_of(touchy(1, Falls::Weighed))), 1);
        assert_eq!(told(&weighing, || id_of(wait_for(touchy_async(1, Falls::Weighed)))), 1);
    });
    // A cache weighs by `Serialize`, and uses it too to find out whether a value is `None`.
    let cache: Cache<Touchy> = weighing.cache("panics.weights").build().unwrap();
    assert_eq!(told(&weighing, || id_of(cache.blocking().get_or_load(&1, || Touchy::new(1, Falls::Written)))), 1);
    let set = unharmed(|| cache.blocking().set(&1, Touchy::new(1, Falls::Written)));
    assert_eq!(set.unwrap_err().kind(), ErrorKind::Codec);
    for stage in [Stage::bytes(), Stage::local()] {
        let instance = &stage.retainit;
        stage.run_sync(|| {
            for falls in [Falls::Written, Falls::Read] {
                let call = || id_of(touchy(1, falls));
                assert_eq!(told(instance, || (call(), call())), (1, 1), "{falls:?}");
                let call = || id_of(wait_for(touchy_async(1, falls)));
                assert_eq!(told(instance, || (call(), call())), (1, 1), "{falls:?}");
            }
        });
    }
}

#[retain(id = "panics.verified", verify = 1.0)]
fn verified(falls: Falls) -> Touchy {
    Touchy::new(1, falls)
}

#[test]
fn a_value_that_cannot_be_compared() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            for falls in [Falls::Compared, Falls::Dropped] {
                let calls = || (id_of(verified(falls)), id_of(verified(falls)));
                assert_eq!(unharmed(calls), (1, 1), "{falls:?}");
            }
        });
        assert!(stage.retainit.stats().verified >= 1);
    }
}

static VERIFYING: Gate = Gate::new();

#[retain(id = "panics.given_up", verify = 1.0, skip(again))]
async fn given_up(again: &AtomicBool, falls: Falls) -> Touchy {
    if again.swap(true, Ordering::SeqCst) {
        VERIFYING.pass().await;
    }
    Touchy::new(1, falls)
}

// The caller never had the answer that was being verified.
#[tokio::test]
async fn an_answer_that_nobody_waits_for_any_more_falls_on_nobody() {
    for stage in Stage::each() {
        let again = AtomicBool::new(false);
        id_of(stage.run(given_up(&again, Falls::Dropped)).await);
        again.store(true, Ordering::SeqCst);
        let mut call = Box::pin(stage.run(given_up(&again, Falls::Dropped)));
        tokio::select! {
            _ = &mut call => unreachable!("it is being verified"),
            () = VERIFYING.reached() => {}
        }
        unharmed(|| drop(call));
    }
}

/// A ttl of the program's own.
struct OwnTtl;

impl IntoTtl for OwnTtl {
    fn into_ttl(self) -> retainit::Result<Ttl> {
        panic!("{TEXT}")
    }
}

#[test]
fn a_ttl_that_cannot_be_converted() {
    for stage in Stage::each() {
        let instance = &stage.retainit;
        let cache: Cache<u64> = instance.cache("panics.ttl").build().unwrap();
        let blocking = cache.blocking();
        assert_eq!(told(instance, || blocking.get_or_load_with_ttl(&1, || (1, OwnTtl))), 1);
        assert_eq!(told(instance, || blocking.try_get_or_load_with_ttl(&1, || Ok::<_, ()>((2, OwnTtl)))), Ok(2));
        assert_eq!(told(instance, || wait_for(cache.get_or_load_with_ttl(&1, async || (3, OwnTtl)))), 3);
        let load = async || Ok::<_, ()>((4, OwnTtl));
        assert_eq!(told(instance, || wait_for(cache.try_get_or_load_with_ttl(&1, load))), Ok(4));
        let computes: Cache<u64> = instance.cache("panics.ttl_of").ttl_of(|_| OwnTtl).build().unwrap();
        assert_eq!(told(instance, || computes.blocking().get_or_load(&1, || 5)), 5);
        assert_eq!(unharmed(|| computes.blocking().set(&1, 6)).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[retain(id = "panics.rules", when = |n: &u64| { assert_ne!(*n, 13, "{TEXT}"); true })]
fn rules(n: u64) -> u64 {
    n
}

#[retain(id = "panics.error_rules", err_ttl = "1h", err_if = |n: &u64| { assert_ne!(*n, 13, "{TEXT}"); true })]
async fn error_rules(n: u64) -> Result<u64, u64> {
    Err(n)
}

#[test]
fn rules_that_fall() {
    for stage in Stage::each() {
        let instance = &stage.retainit;
        stage.run_sync(|| {
            assert_eq!(told(instance, || (rules(13), rules(13))), (13, 13));
            assert_eq!(rules::cache().stats().hits, 0, "what nobody could decide about is not stored");
            assert_eq!(told(instance, || wait_for(error_rules(13))), Err(13));
        });
        let cache: Cache<u64> = instance.cache("panics.cache_rules").when(|_| panic!("{TEXT}")).build().unwrap();
        assert_eq!(told(instance, || cache.blocking().get_or_load(&1, || 5)), 5);
    }
}
