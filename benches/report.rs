//! Measures hits, misses and removals per backend and prints the counters: `cargo bench --bench report`, or `just
//! hit-report`.
//!
//! One retained function on each backend, with values of 100 bytes: time and heap allocations of the function alone, of
//! a hit, of a miss that loads and stores, of a lookup that finds nothing and of a removal, then the counters. Times
//! are means over 16 calls, as their median and as the one that 99 % stay below. Compare rows, not machines.

#[path = "harness/counting.rs"]
mod counting;
#[path = "harness/table.rs"]
mod table;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use counting::{Counting, allocations};
use retainit::{DiskConfig, MemoryConfig, Retainit, retain};
use table::Table;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls per timed chunk: enough to hide the clock beside a hit.
const CHUNK: u64 = 16;
/// Keys that are there, and as many that are not.
const KEYS: u64 = 8_192;

fn make(id: u64) -> Arc<str> {
    const TEXT: [u8; 100] = [b'x'; 100];
    let text = std::str::from_utf8(&TEXT[..100 - (id % 8) as usize]).unwrap_or_default();
    Arc::from(text)
}

#[retain(id = "report.memory", backend = "memory", ttl = "1h", tags("user:{id}"))]
fn in_memory(id: u64) -> Arc<str> {
    make(id)
}

#[retain(id = "report.disk", backend = "disk", ttl = "1h", tags("user:{id}"))]
fn on_disk(id: u64) -> Arc<str> {
    make(id)
}

/// Times and allocations of one kind of call.
struct Profile {
    median: f64,
    slow: f64,
    allocations: f64,
}

/// Calls once for each of `KEYS` keys from `first` on.
fn profile(first: u64, mut call: impl FnMut(u64)) -> Profile {
    let mut chunks = Vec::with_capacity((KEYS / CHUNK) as usize);
    let allocations = allocations(|| {
        for chunk in 0..KEYS / CHUNK {
            let start = now();
            let begin = first + chunk * CHUNK;
            (begin..begin + CHUNK).for_each(&mut call);
            chunks.push(start.elapsed().as_nanos() as f64 / CHUNK as f64);
        }
        0.0
    });
    chunks.sort_by(f64::total_cmp);
    let (median, slow) = (chunks[chunks.len() / 2], chunks[chunks.len() * 99 / 100]);
    Profile { median, slow, allocations: allocations as f64 / KEYS as f64 }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// The rows of one backend.
macro_rules! rows {
    ($table:ident, $function:ident) => {{
        let title = stringify!($function);
        (0..KEYS).for_each(|id| drop($function(id)));
        let cache = $function::cache();
        row(&mut $table, title, "a hit", profile(0, |id| drop(black_box($function(id)))));
        row(&mut $table, "", "a miss, loaded and stored", profile(KEYS, |id| drop(black_box($function(id)))));
        row(&mut $table, "", "a look that finds nothing", profile(2 * KEYS, |id| drop(black_box(cache.get(&id)))));
        row(&mut $table, "", "a removal", profile(KEYS, |id| drop(black_box(cache.remove(&id)))));
    }};
}

fn row(table: &mut Table, title: &str, name: &str, profile: Profile) {
    let Profile { median, slow, allocations } = profile;
    let numbers = [median, slow].map(|nanos| format!("{nanos:.0}"));
    let [median, slow] = numbers;
    table.row(vec![title.to_owned(), name.to_owned(), median, slow, format!("{allocations:.2}")]);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let retainit = Retainit::builder()
        .register_backend("memory", MemoryConfig::new().max_entries(100_000))
        .register_backend("disk", DiskConfig::new().base_path(folder.path()))
        .default_backend("memory")
        .build()?;
    retainit.install()?;

    let mut table = Table::new(2, &["one thread", "", "ns", "99 % below", "allocations"]);
    row(&mut table, "no cache", "the function alone", profile(0, |id| drop(black_box(make(black_box(id))))));
    rows!(table, in_memory);
    rows!(table, on_disk);
    println!("{table}");

    let mut table = Table::new(1, &["function", "hits", "misses", "hit rate", "mean load, ns"]);
    for (name, stats) in [("in_memory", in_memory::cache().stats()), ("on_disk", on_disk::cache().stats())] {
        table.row(vec![
            name.to_owned(),
            stats.hits.to_string(),
            stats.misses.to_string(),
            format!("{:.1} %", stats.hit_rate() * 100.0),
            stats.mean_load_time().as_nanos().to_string(),
        ]);
    }
    println!("{table}");
    retainit.blocking().close()?;
    Ok(())
}
