//! Code of the program's that runs in a hit: `Serialize` of a key, `Clone` of a value. It may use the cache that it runs
//! for. A binary of its own: wherever a scope or a subscriber is alive, hits do not take the shortest way.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use retainit::{Cache, MemoryConfig, Retainit, retain};
use serde::{Serialize, Serializer};

/// The backend has one lock: whoever comes back to it while it is held waits for itself.
static INSTANCE: LazyLock<Retainit> = LazyLock::new(|| {
    let instance = Retainit::builder().register_backend("default", MemoryConfig::new().policy("lru"));
    let instance = instance.build().expect("it is sound");
    instance.install().expect("it is the first");
    instance
});

/// Runs work that ends, unless it waits for itself.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = channel();
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(Duration::from_secs(20)).expect("it has to end")
}

#[retain(id = "hits.name")]
fn name(id: u64) -> String {
    format!("user {id}")
}

/// A user whose name is looked up where it is written.
struct User(u64);

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        name(self.0).serialize(serializer)
    }
}

#[retain(id = "hits.by_argument")]
fn by_argument(user: &User) -> u64 {
    user.0
}

#[retain(id = "hits.by_template", key = "user:{user}")]
async fn by_template(user: &User) -> u64 {
    user.0
}

#[retain(id = "hits.by_expression", key = (user, 1))]
fn by_expression(user: &User) -> u64 {
    user.0
}

//
#[test]
fn a_key_may_use_the_cache_where_it_is_written() {
    ends(|| {
        let cache: Cache<u64> = INSTANCE.cache("hits.users").build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            assert_eq!((by_argument(&User(1)), by_expression(&User(2))), (1, 2));
            assert_eq!(runtime.block_on(by_template(&User(3))), 3);
            assert_eq!(cache.blocking().get_or_load(&User(4), || 4), 4);
        }
        let hits = [by_argument::cache().stats().hits, by_expression::cache().stats().hits, cache.stats().hits];
        assert_eq!(hits, [2, 2, 2]);
        assert_eq!(by_template::cache().stats().hits, 2);
    });
}

/// A value that has the settings read again whenever it is copied.
struct Reloads(u64);

static RELOADED: AtomicU64 = AtomicU64::new(0);

impl Clone for Reloads {
    fn clone(&self) -> Reloads {
        INSTANCE.reload().expect("nothing has changed");
        let number = RELOADED.fetch_add(1, Ordering::SeqCst);
        INSTANCE.register_backend(&format!("copy{number}"), MemoryConfig::new()).expect("the name is free");
        Reloads(self.0)
    }
}

#[retain(id = "hits.reloads")]
fn reloads(id: u64) -> Reloads {
    Reloads(id)
}

#[test]
fn a_value_may_reload_the_instance_when_it_is_copied() {
    ends(|| {
        let cache: Cache<Reloads> = INSTANCE.cache("hits.copies").build_local().unwrap();
        cache.blocking().set(&1, Reloads(1)).unwrap();
        assert_eq!(cache.blocking().get_or_load(&1, || Reloads(2)).0, 1);
        assert_eq!(cache.blocking().get(&1).unwrap().value().map(|value| value.0), Some(1));
        assert_eq!((reloads(5).0, reloads(5).0), (5, 5));
        assert!(RELOADED.load(Ordering::SeqCst) >= 4);
    });
}
