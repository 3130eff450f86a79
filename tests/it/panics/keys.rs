//! Arguments, templates, expressions and tags.

use retainit::{Cache, ErrorKind, invalidate, retain, retain_put};
use serde::{Serialize, Serializer};

use super::{TEXT, told, unharmed, wait_for};
use crate::common::Stage;

/// An argument that cannot be written if it is 13.
#[derive(Clone, Copy)]
pub(super) struct Arg(pub(super) u64);

impl Serialize for Arg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 13, "{TEXT}");
        serializer.serialize_u64(self.0)
    }
}

fn number(arg: Arg) -> u64 {
    assert_ne!(arg.0, 13, "{TEXT}");
    arg.0
}

#[retain(id = "panics.plain")]
pub(super) fn plain(arg: Arg) -> u64 {
    arg.0
}

#[retain(id = "panics.plain_async")]
async fn plain_async(arg: Arg) -> u64 {
    arg.0
}

#[retain(id = "panics.template", key = "x:{arg}")]
fn template(arg: Arg) -> u64 {
    arg.0
}

#[retain(id = "panics.expression", key = (number(arg), 1))]
fn expression(arg: Arg) -> u64 {
    arg.0
}

#[retain(id = "panics.hashed", hash_key)]
fn hashed(arg: Arg) -> u64 {
    arg.0
}

#[test]
fn an_argument_that_cannot_be_written() {
    for stage in Stage::each() {
        let instance = &stage.retainit;
        let functions: [fn(u64) -> u64; 5] = [
            |n| plain(Arg(n)),
            |n| wait_for(plain_async(Arg(n))),
            |n| template(Arg(n)),
            |n| expression(Arg(n)),
            |n| hashed(Arg(n)),
        ];
        for function in functions {
            stage.run_sync(|| {
                for n in [1, 1] {
                    assert_eq!(function(n), n);
                }
                told(instance, || assert_eq!((function(13), function(13)), (13, 13)));
                let hits = instance.stats().hits;
                assert_eq!((function(1), instance.stats().hits), (1, hits + 1), "others are as they were");
            });
        }
        stage.run_sync(|| {
            let found = unharmed(|| plain::cache().get(&Arg(13)));
            assert_eq!(found.unwrap_err().kind(), ErrorKind::Key);
        });
        let cache: Cache<u64> = instance.cache("panics.keys").build().unwrap();
        assert_eq!(told(instance, || cache.blocking().get_or_load(&Arg(13), || 7)), 7);
        assert_eq!(wait_for(cache.get_or_load(&Arg(13), async || 7)), 7);
        assert_eq!(cache.blocking().set(&Arg(13), 1).unwrap_err().kind(), ErrorKind::Key);
        assert_eq!(wait_for(cache.get_many([Arg(1), Arg(13)])).unwrap_err().kind(), ErrorKind::Key);
    }
}

#[retain(id = "panics.tagged", tags("t:{arg}", "all"), key = "{n}")]
fn tagged(n: u64, arg: Arg) -> u64 {
    n + arg.0
}

#[retain_put(of = expression, key = (number(arg), 1))]
fn put(arg: Arg) -> u64 {
    arg.0 + 100
}

#[invalidate(of = expression, key = (number(arg), 1))]
fn removes(arg: Arg) -> u64 {
    arg.0
}

#[invalidate(tags("t:{arg}"))]
fn invalidates(arg: Arg) -> u64 {
    arg.0
}

// An entry without one of its tags would outlive the invalidation of that tag.
#[test]
fn a_tag_that_cannot_be_written() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            assert_eq!(told(&stage.retainit, || (tagged(1, Arg(13)), tagged(1, Arg(13)))), (14, 14));
            assert_eq!(tagged(1, Arg(1)), 2, "nothing was stored");
        });
    }
}

#[test]
fn tags_and_keys_of_functions_that_write() {
    for stage in Stage::each() {
        let instance = &stage.retainit;
        stage.run_sync(|| {
            assert_eq!(told(instance, || put(Arg(13))), 113);
            assert_eq!(told(instance, || removes(Arg(13))), 13);
            assert_eq!(told(instance, || invalidates(Arg(13))), 13);
            assert_eq!((put(Arg(1)), expression(Arg(1))), (101, 101));
            assert_eq!((removes(Arg(1)), expression(Arg(1))), (1, 1));
        });
    }
}
