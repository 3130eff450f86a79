//! Tests that only entries which may be served are listed and counted, on every backend: neither those that have
//! expired nor those that have lost a group.

use std::time::Duration;

use retainit::{CallOptions, Evicted, MemoryConfig, Retainit, retain};
use retainit_disk::DiskConfig;
use retainit_testkit::{ByteConfig, ManualClock};

use crate::common::patient;

#[retain(id = "counted.user", tags("users", "user:{id}"))]
async fn user(id: u64) -> u64 {
    id
}

#[retain(id = "counted.order", ttl = "1m")]
async fn order(id: u64) -> u64 {
    id
}

/// An instance on one kind of backend, with a clock that is moved by hand.
struct EntryAddress {
    kind: &'static str,
    retainit: Retainit,
    clock: ManualClock,
    _folder: tempfile::TempDir,
}

impl EntryAddress {
    fn new(kind: &'static str) -> EntryAddress {
        let (clock, folder) = (ManualClock::new(), tempfile::tempdir().unwrap());
        let builder = patient().clock(clock.clone());
        let bytes = ByteConfig::new().jitter(0.0);
        let builder = match kind {
            "memory" => builder.register_backend("default", MemoryConfig::new()),
            "disk" => builder.register_backend("default", DiskConfig::new().base_path(folder.path())),
            "bytes" => builder.register_backend("default", bytes),
            _ => builder.register_backend("default", bytes.blocking()),
        };
        EntryAddress { kind, retainit: builder.build().unwrap(), clock, _folder: folder }
    }

    fn each() -> [EntryAddress; 4] {
        ["memory", "disk", "bytes", "local"].map(EntryAddress::new)
    }

    async fn keys(&self) -> Vec<String> {
        let mut keys = self.retainit.keys("").collect().await.unwrap();
        keys.sort();
        assert_eq!(self.retainit.blocking().keys("").map(sorted).unwrap(), keys, "{}: both faces", self.kind);
        keys
    }
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

// an entry whose tag was invalidated is in no list, no removal finds it, and it does not exist.
#[tokio::test]
async fn what_lost_a_tag_is_neither_listed_nor_counted() {
    for place in EntryAddress::each() {
        let (kind, retainit) = (place.kind, &place.retainit);
        let cache = retainit.cache::<u64>("c").tags(["t"]).build().unwrap();
        for key in 1..=3_u64 {
            cache.set(&key, key).await.unwrap();
        }
        cache.set_with(&4_u64, 4, CallOptions::new().tags(["own"])).await.unwrap();
        assert_eq!(place.keys().await, ["c:1", "c:2", "c:3", "c:4"], "{kind}");

        retainit.invalidate_tag("own").await.unwrap();
        assert_eq!(place.keys().await, ["c:1", "c:2", "c:3"], "{kind}");
        assert!(!cache.exists(&4_u64).await.unwrap(), "{kind}");
        assert!(!cache.remove(&4_u64).await.unwrap(), "{kind}: nothing that could be served was there");
        assert!(cache.remove(&3_u64).await.unwrap(), "{kind}");

        retainit.expire_tag("t").await.unwrap();
        assert_eq!(place.keys().await, [] as [String; 0], "{kind}");
        assert_eq!(sorted(cache.keys().collect().await.unwrap()), [] as [String; 0], "{kind}");
        assert_eq!(retainit.keys_matching("c:*").collect().await.unwrap(), [] as [String; 0], "{kind}");
        assert!(!cache.remove(&1_u64).await.unwrap(), "{kind}");
        assert!(!cache.blocking().remove(&2_u64).unwrap(), "{kind}");

        assert!(cache.set_if_absent(&1_u64, 10).await.unwrap(), "{kind}: the slot counts as empty");
        assert_eq!(place.keys().await, ["c:1"], "{kind}");
        assert!(cache.remove(&1_u64).await.unwrap(), "{kind}");
    }
}

// The same of functions, whose tags come from arguments that a removal does not have; and for what has expired.
#[tokio::test]
async fn functions_count_by_the_same_rule() {
    for place in EntryAddress::each() {
        let (kind, retainit) = (place.kind, &place.retainit);
        let run = async {
            for id in 1..=3 {
                user(id).await;
                order(id).await;
            }
            retainit.invalidate_tag("user:2").await.unwrap();
            assert_eq!(
                sorted(user::cache().keys().unwrap().collect().await.unwrap()),
                shown("user", &[1, 3]),
                "{kind}"
            );
            assert!(!user::cache().remove(&2).await.unwrap(), "{kind}");
            assert!(user::cache().remove(&1).await.unwrap(), "{kind}");
            place.clock.advance(Duration::from_secs(61));
            assert!(!order::cache().remove(&1).await.unwrap(), "{kind}: it has expired");
            assert_eq!(place.keys().await, shown("user", &[3]), "{kind}");
        };
        retainit::with_instance(retainit, run).await;
    }
}

fn shown(function: &str, ids: &[u64]) -> Vec<String> {
    ids.iter().map(|id| format!("counted.{function}:{id}")).collect()
}

// A pattern removes what `keys_matching` shows, and counts that; what clears a group counts what it deletes.
#[tokio::test]
async fn a_pattern_counts_what_could_be_served() {
    for place in EntryAddress::each() {
        let (kind, retainit) = (place.kind, &place.retainit);
        let cache = retainit.cache::<u64>("c").build().unwrap();
        for key in 0..6_u64 {
            let options = CallOptions::new().tags([format!("half:{}", key % 2)]);
            cache.set_with(&key, key, options).await.unwrap();
        }
        retainit.invalidate_tag("half:1").await.unwrap();
        assert_eq!(retainit.invalidate_pattern("c:*").await.unwrap(), Evicted::Exact(3), "{kind}");
        assert_eq!(retainit.invalidate_pattern("c:*").await.unwrap(), Evicted::Exact(0), "{kind}");
        cache.set(&1_u64, 1).await.unwrap();
        assert_eq!(cache.clear().await.unwrap(), Evicted::Exact(1), "{kind}");
        assert_eq!(place.keys().await, [] as [String; 0], "{kind}");
    }
}

// More keys than a page of a scan has, most of them invalidated: none is lost between the pages.
#[tokio::test]
async fn lists_of_many_pages_show_what_is_left() {
    for place in EntryAddress::each() {
        let retainit = &place.retainit;
        let cache = retainit.cache::<u64>("c").build().unwrap();
        for key in 0..1_500_u64 {
            let tag = if key % 100 == 0 { "kept" } else { "lost" };
            cache.set_with(&key, key, CallOptions::new().tags([tag])).await.unwrap();
        }
        retainit.invalidate_tag("lost").await.unwrap();
        let left: Vec<String> = (0..15).map(|n| format!("c:{}", n * 100)).collect();
        assert_eq!(place.keys().await, sorted(left), "{}", place.kind);
    }
}
