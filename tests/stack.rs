//! Measures the stack that a level of retained recursion takes: a recursion that works without the attribute has to
//! work with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use retainit::{MemoryConfig, Retainit, retain};

/// The most bytes of one level. A binary of its own: where the optimizer is on, it is measured without building all
/// others, with `cargo test --release --test stack`.
const MOST: usize = if cfg!(debug_assertions) { 1_300 } else { 200 };

const DEEP: u64 = 40;
const SHALLOW: u64 = 10;

/// Stack addresses at two depths.
struct Marks {
    deep: AtomicUsize,
    shallow: AtomicUsize,
}

impl Marks {
    const fn new() -> Marks {
        Marks { deep: AtomicUsize::new(0), shallow: AtomicUsize::new(0) }
    }

    #[inline(never)]
    fn mark(&self, left: u64) {
        let here = left;
        let at = std::ptr::from_ref(std::hint::black_box(&here)).addr();
        match left {
            SHALLOW => self.shallow.store(at, Ordering::SeqCst),
            DEEP => self.deep.store(at, Ordering::SeqCst),
            _ => {}
        }
    }

    /// Returns the bytes per level: the recursion counts down, so `SHALLOW` is further down the stack.
    fn per_level(&self) -> usize {
        let (upper, lower) = (self.deep.load(Ordering::SeqCst), self.shallow.load(Ordering::SeqCst));
        (upper - lower) / (DEEP - SHALLOW) as usize
    }
}

static PLAIN: Marks = Marks::new();

#[retain]
fn plain(n: u64) -> u64 {
    PLAIN.mark(n);
    if n == 0 { 0 } else { plain(n - 1) + 1 }
}

static RESULT: Marks = Marks::new();

#[retain]
fn fallible(n: u64) -> Result<u64, String> {
    RESULT.mark(n);
    if n == 0 { Ok(0) } else { Ok(fallible(n - 1)? + 1) }
}

static FUTURE: Marks = Marks::new();

#[retain]
async fn future(n: u64) -> u64 {
    FUTURE.mark(n);
    if n == 0 { 0 } else { Box::pin(future(n - 1)).await + 1 }
}

#[test]
fn a_level_of_recursion_takes_no_more_stack_than_it_may() {
    let recurse = || {
        let instance = Retainit::builder().register_backend("default", MemoryConfig::new()).build().unwrap();
        retainit::with_instance_sync(&instance, || {
            assert_eq!((plain(DEEP + 2), fallible(DEEP + 2)), (DEEP + 2, Ok(DEEP + 2)));
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(retainit::with_instance(&instance, future(DEEP + 2))), DEEP + 2);
    };
    std::thread::Builder::new().stack_size(64 << 20).spawn(recurse).unwrap().join().unwrap();
    let measured = [PLAIN.per_level(), RESULT.per_level(), FUTURE.per_level()];
    println!("bytes of stack per level: plain {}, `Result` {}, async {}", measured[0], measured[1], measured[2]);
    for measured in measured {
        assert!((1..=MOST).contains(&measured), "{measured} bytes of stack per level, at most {MOST}");
    }
}
