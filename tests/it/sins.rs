//! The seven deadly sins of caches, on memory and on byte backends.

use std::sync::atomic::{AtomicU64, Ordering};

use retainit::{Lookup, retain};

use crate::common::{Gate, Runs, Stage, soon};

mod first {
    #[retainit::retain]
    pub(crate) async fn user(id: u64) -> String {
        format!("first {id}")
    }
}

mod second {
    #[retainit::retain]
    pub(crate) async fn user(id: u64) -> String {
        format!("second {id}")
    }
}

#[tokio::test]
async fn sin_two_functions_of_one_name_in_two_modules() {
    for stage in Stage::each() {
        for _ in 0..2 {
            assert_eq!(stage.run(first::user(1)).await, "first 1");
            assert_eq!(stage.run(second::user(1)).await, "second 1");
        }
        // Both are kept, each under its own name.
        assert_eq!(stage.retainit.stats().hits, 2);
        stage.run(first::user::cache().remove(&1)).await.unwrap();
        assert!(stage.run(second::user::cache().exists(&1)).await.unwrap());
    }
}

fn in_one_body(n: u64) -> &'static str {
    #[retain]
    fn local(n: u64) -> String {
        format!("one {n}")
    }
    local(n).leak()
}

fn in_another_body(n: u64) -> &'static str {
    #[retain]
    fn local(n: u64) -> String {
        format!("another {n}")
    }
    local(n).leak()
}

struct Left;
struct Right;

impl Left {
    #[retain(skip(self))]
    fn name(&self, n: u64) -> String {
        format!("left {n}")
    }
}

impl Right {
    #[retain(skip(self))]
    fn name(&self, n: u64) -> String {
        format!("right {n}")
    }
}

#[test]
fn sin_two_functions_of_one_name_in_two_bodies_of_one_module() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            for _ in 0..2 {
                assert_eq!((in_one_body(1), in_another_body(1)), ("one 1", "another 1"));
                assert_eq!((Left.name(1), Right.name(1)), ("left 1".to_owned(), "right 1".to_owned()));
            }
        });
        // A byte backend refuses names that are not unique in the source; nothing of them is stored there.
        assert_eq!(stage.retainit.stats().hits, if stage.is_memory() { 4 } else { 0 });
        assert!(stage.bytes.as_ref().is_none_or(|bytes| bytes.store().keys().is_empty()));
    }
}

#[retain]
fn joined(a: &str, b: &str) -> String {
    format!("{a}|{b}")
}

#[retain(key = "{a}_{b}")]
fn joined_by_template(a: &str, b: &str) -> String {
    format!("{a}|{b}")
}

#[retain(tags("{a}_{b}"))]
fn joined_in_a_list(a: &str, b: Vec<&str>) -> String {
    format!("{a}|{}", b.join("|"))
}

#[test]
fn sin_arguments_that_join_to_one_text() {
    for stage in Stage::each() {
        stage.run_sync(|| {
            for _ in 0..2 {
                for (a, b) in [("a_b", "c"), ("a", "b_c"), ("a%5Fb", "c"), ("", "a_b_c"), ("a_b_c", "")] {
                    assert_eq!(joined(a, b), format!("{a}|{b}"));
                    assert_eq!(joined_by_template(a, b), format!("{a}|{b}"));
                    assert_eq!(joined_in_a_list(a, vec![b]), format!("{a}|{b}"));
                    assert_eq!(joined_in_a_list(a, vec![b, ""]), format!("{a}|{b}|"));
                }
            }
        });
        assert_eq!(stage.retainit.stats().hits, 20);
    }
}

#[retain]
async fn signed(n: i64) -> String {
    n.to_string()
}

#[retain(key = "n:{n}")]
async fn signed_by_template(n: i128) -> String {
    n.to_string()
}

#[retain]
async fn float(x: f64) -> u64 {
    x.to_bits()
}

#[tokio::test]
async fn sin_minus_one_and_minus_two() {
    let numbers = [-1, -2, 1, 2, 0, i64::MIN, i64::MAX, -129, -128, 127, 128, 255, 256];
    for stage in Stage::each() {
        for _ in 0..2 {
            for n in numbers {
                assert_eq!(stage.run(signed(n)).await, n.to_string());
                assert_eq!(stage.run(signed_by_template(n.into())).await, n.to_string());
            }
            for x in [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
                assert_eq!(stage.run(float(x)).await, x.to_bits());
            }
        }
        assert_eq!(stage.retainit.stats().hits, 2 * 13 + 7);
    }
}

static SEARCHES: Runs = Runs::new();

#[retain(none_ttl = "10s")]
async fn search(id: u64) -> Option<String> {
    SEARCHES.add();
    (id > 0).then(|| id.to_string())
}

// A stored `None` is a hit on every backend.
#[tokio::test]
async fn sin_a_stored_none() {
    for stage in Stage::each() {
        SEARCHES.take();
        assert_eq!((stage.run(search(0)).await, stage.run(search(0)).await), (None, None));
        assert_eq!(SEARCHES.take(), 1);
        let found = stage.run(search::cache().get(&0)).await.unwrap();
        assert!(matches!(found, Lookup::Hit { value: None, .. }));
        assert!(stage.run(search::cache().exists(&0)).await.unwrap());

        let cache = stage.retainit.cache::<Option<u64>>("nones").build().unwrap();
        assert!(cache.get(&1).await.unwrap().is_miss());
        cache.set(&1, None).await.unwrap();
        assert!(matches!(cache.get(&1).await.unwrap(), Lookup::Hit { value: None, .. }));
        assert_eq!(cache.get_or_load(&1, || async { Some(1) }).await, None);
        assert!(!cache.set_if_absent(&1, Some(2)).await.unwrap());
    }
}

static DEPTH: Runs = Runs::new();

#[retain]
async fn recursive(id: u64) -> u64 {
    match DEPTH.add() {
        1 => Box::pin(recursive(id)).await + 1,
        _ => id,
    }
}

static DEPTH_SYNC: Runs = Runs::new();

#[retain]
fn recursive_sync(id: u64) -> u64 {
    match DEPTH_SYNC.add() {
        1 => recursive_sync(id) + 1,
        _ => id,
    }
}

//
#[tokio::test]
async fn sin_a_recursion_on_the_same_key() {
    for stage in Stage::each() {
        DEPTH.take();
        DEPTH_SYNC.take();
        assert_eq!(soon(stage.run(recursive(7))).await, 8);
        // The inner run was answered and not stored over the outer one.
        assert_eq!((stage.run(recursive(7)).await, DEPTH.so_far()), (8, 2));

        let (done, is_done) = tokio::sync::oneshot::channel();
        let instance = stage.retainit.clone();
        std::thread::spawn(move || done.send(retainit::with_instance_sync(&instance, || recursive_sync(7))));
        assert_eq!(soon(is_done).await, Ok(8));
        assert_eq!((stage.run_sync(|| recursive_sync(7)), DEPTH_SYNC.so_far()), (8, 2));
    }
}

static BALANCE: AtomicU64 = AtomicU64::new(0);
static READING: Gate = Gate::new();

#[retain(tags("balance", "balance:{id}"))]
async fn balance(id: u64) -> u64 {
    let read = BALANCE.load(Ordering::SeqCst) + id;
    READING.pass().await;
    read
}

// T-40, T-43
#[tokio::test]
async fn sin_an_invalidation_during_a_load_followed_by_a_call() {
    for stage in Stage::each() {
        for how in 0..6 {
            BALANCE.store(0, Ordering::SeqCst);
            let first = tokio::spawn(retainit::with_instance(&stage.retainit, balance(0)));
            READING.reached().await;
            BALANCE.store(100, Ordering::SeqCst);
            stage.run(invalidate(&stage, how)).await;
            // A later caller does not wait for the old load.
            let second = tokio::spawn(retainit::with_instance(&stage.retainit, balance(0)));
            READING.reached().await;
            READING.open();
            READING.open();
            assert_eq!(soon(first).await.unwrap(), 0, "who joined before gets what was read");
            assert_eq!(soon(second).await.unwrap(), 100, "way {how}");
            let cached = stage.run(balance::cache().get(&0)).await.unwrap().value();
            assert_eq!(cached, Some(100), "way {how}: what was loaded after it is kept, and nothing else");
            stage.retainit.clear().await.unwrap();
        }
    }
}

async fn invalidate(stage: &Stage, how: u8) {
    let retainit = &stage.retainit;
    match how {
        0 => assert!(!balance::cache().remove(&0).await.unwrap()),
        1 => drop(balance::cache().clear().await.unwrap()),
        2 => retainit.invalidate_tag("balance:0").await.unwrap(),
        3 => retainit.expire_tag("balance").await.unwrap(),
        4 => drop(retainit.invalidate_pattern("*::balance:*").await.unwrap()),
        _ => drop(retainit.clear().await.unwrap()),
    }
}

static ANSWERS: Runs = Runs::new();
static ANSWERING: Gate = Gate::new();

#[retain]
async fn answer(id: u64) -> u64 {
    let run = ANSWERS.add();
    ANSWERING.pass().await;
    id * 1_000 + run
}

#[tokio::test]
async fn sin_a_cancelled_leader_with_999_followers() {
    for stage in Stage::each() {
        ANSWERS.take();
        let leader = tokio::spawn(retainit::with_instance(&stage.retainit, answer(7)));
        ANSWERING.reached().await;
        let call = || tokio::spawn(retainit::with_instance(&stage.retainit, answer(7)));
        let followers: Vec<_> = (0..999).map(|_| call()).collect();
        while stage.retainit.stats().misses < 1_000 {
            tokio::task::yield_now().await;
        }
        leader.abort();
        assert!(soon(leader).await.unwrap_err().is_cancelled());
        ANSWERING.reached().await;
        ANSWERING.open();
        for follower in followers {
            assert_eq!(soon(follower).await.unwrap(), 7_002);
        }
        assert_eq!(ANSWERS.take(), 2, "the cancelled load and one more");
        assert_eq!(stage.run(answer(7)).await, 7_002);
    }
}
