//! What a hit costs, beside its peers: `cargo bench --bench hit`.
//!
//! Everyone has room for 100 000 entries, 10 000 keys that are asked for in random order, values of
//! `Arc<[u8; 100]>` and a ttl of an hour. The contenders of a group take turns, so a ratio compares what ran side by
//! side; figures are medians. `BENCH_ROUNDS=50` makes more rounds than the default; words after `--` choose groups by their
//! titles. Compare ratios, not nanoseconds.

mod groups;
mod harness;
mod subjects;

use retainit::Retainit;

use harness::{Counting, Group, Table, two_threads};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 21;
const ROUNDS_OF_TWO_THREADS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let retainit = subjects::retained::install()?;
    let rounds = std::env::var("BENCH_ROUNDS").ok().map(|rounds| rounds.parse::<usize>()).transpose()?;
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word.as_str()));

    one_thread(&retainit, rounds.unwrap_or(ROUNDS), &is_wanted)?;
    if is_wanted("two threads") {
        threads(rounds.unwrap_or(ROUNDS_OF_TWO_THREADS));
    }
    if is_wanted("concurrent misses") {
        misses();
    }
    Ok(())
}

fn one_thread(retainit: &Retainit, rounds: usize, is_wanted: &dyn Fn(&str) -> bool) -> retainit::Result<()> {
    let mut table = Table::new(2, &["one thread", "", "ns", "M/s", "ratio", "allocations"]);
    let groups: Vec<Box<dyn Fn() -> retainit::Result<Group<'static>>>> = vec![
        Box::new(|| groups::sync::by_id(retainit)),
        Box::new(|| Ok(groups::sync::by_str())),
        Box::new(|| Ok(groups::sync::by_string())),
        Box::new(|| Ok(groups::sync::by_pair())),
        Box::new(|| groups::asynchronous::by_id(retainit)),
        Box::new(|| groups::asynchronous::preloaded()),
        Box::new(|| Ok(groups::other::mixed())),
        Box::new(|| groups::other::set(retainit)),
        Box::new(|| Ok(groups::other::long_keys())),
        Box::new(|| Ok(groups::other::keys())),
    ];
    for make in groups {
        let group = make()?;
        if !is_wanted(group.title) {
            continue;
        }
        let mut title = group.title;
        for measured in group.measure(rounds) {
            table.row(vec![
                std::mem::take(&mut title).to_owned(),
                measured.name.to_owned(),
                format!("{:.1}", measured.nanos),
                format!("{:.1}", 1_000.0 / measured.nanos),
                format!("{:.2}", measured.ratio),
                format!("{:.2}", measured.allocations),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

fn threads(rounds: usize) {
    let traces = groups::threads::traces();
    let mut table = Table::new(1, &["two threads, Zipf 0.99, read-through", "M ops/s", "ratio", "hits"]);
    for reached in two_threads(&groups::threads::contenders(), &traces, rounds) {
        table.row(vec![
            reached.name.to_owned(),
            format!("{:.2}", reached.millions),
            format!("{:.2}", reached.ratio),
            format!("{:.1} %", reached.hits * 100.0),
        ]);
    }
    println!("{table}");
}

fn misses() {
    let columns = ["1 000 concurrent misses on one key", "loads", "served of 999 when the leader is cancelled"];
    let mut table = Table::new(1, &columns);
    for storm in groups::misses::storms() {
        table.row(vec![storm.name.to_owned(), storm.loads.to_string(), storm.served.to_string()]);
    }
    println!("{table}");
}
