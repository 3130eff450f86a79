//! Compares the cost of hits and misses with that of peers (T-123, T-125): `cargo bench --bench hit`.
//!
//! Unless a group's title says otherwise, every cache has room for 100 000 entries, 10 000 keys that are read in random
//! order, values of `Arc<[u8; 100]>` and a ttl of an hour. The contenders of a group take turns, so a ratio compares
//! what ran side by side; figures are medians over rounds. `BENCH_ROUNDS` sets the number of rounds (in each of five
//! passes); words after `--` choose groups by their titles. Compare ratios, not nanoseconds: the load of the machine
//! changes those. `README.md` explains how to read the tables.

mod groups;
mod harness;
mod subjects;

use retainit::Retainit;

use groups::threads::{self, contenders};
use harness::{Counting, Group, Series, Table, block_on, two_threads};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every pass makes all caches anew: their place in memory changes the cost of a hit by up to a half.
const PASSES: usize = 5;
const ROUNDS: usize = 5;
const ROUNDS_OF_TWO_THREADS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::var("BENCH_ROUNDS").ok().map(|rounds| rounds.parse::<usize>()).transpose()?;
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word.as_str()));

    one_thread(rounds.unwrap_or(ROUNDS), &is_wanted)?;
    if is_wanted("two threads") {
        read_through(rounds.unwrap_or(ROUNDS_OF_TWO_THREADS))?;
    }
    if is_wanted("concurrent misses") {
        misses()?;
    }
    Ok(())
}

type Make = fn(&Retainit) -> retainit::Result<Group<'static>>;

const GROUPS: [(&str, Make); 11] = [
    ("fn(u64)", groups::sync::by_id),
    ("fn(&str)", groups::sync::by_str),
    ("fn(String), with the caller's allocation", groups::sync::by_string),
    ("fn(u64, &str)", groups::sync::by_pair),
    ("async fn(u64), beside sync quick_cache", groups::asynchronous::by_id),
    ("async fn of 50 ms, preloaded by warm", groups::asynchronous::preloaded),
    ("fn(u64), 50 % hits", groups::other::mixed),
    ("fn(u64) -> u64, every call misses and evicts", groups::other::misses),
    ("set", groups::other::set),
    ("fn(&str) of 200 bytes", groups::other::long_keys),
    ("hash of a (u64, &str) key, beside quick_cache's hasher", groups::other::keys),
];

fn one_thread(rounds: usize, is_wanted: &dyn Fn(&str) -> bool) -> retainit::Result<()> {
    let mut table = Table::new(2, &["one thread", "", "ns", "M/s", "ratio", "allocations"]);
    for (mut title, make) in GROUPS {
        if !is_wanted(title) {
            continue;
        }
        let mut series = Series::default();
        for _ in 0..PASSES {
            let retainit = subjects::retained::install()?;
            make(&retainit)?.measure(rounds, &mut series);
            block_on(retainit.close())?;
        }
        for measured in series.measured() {
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

fn read_through(rounds: usize) -> retainit::Result<()> {
    let retainit = subjects::retained::install()?;
    let (values, numbers) = (contenders(threads::VALUES), contenders(threads::NUMBERS));
    let traces = threads::traces();
    for (title, contenders) in [
        ("two threads, Zipf 0.99, read-through", values),
        ("two threads, Zipf 0.99, read-through, fn(u64) -> u64", numbers),
    ] {
        let mut table = Table::new(1, &[title, "M ops/s", "ratio", "hits"]);
        for reached in two_threads(&contenders, &traces, rounds) {
            table.row(vec![
                reached.name.to_owned(),
                format!("{:.2}", reached.millions),
                format!("{:.2}", reached.ratio),
                format!("{:.1} %", reached.hits * 100.0),
            ]);
        }
        println!("{table}");
    }
    block_on(retainit.close())
}

fn misses() -> retainit::Result<()> {
    let retainit = subjects::retained::install()?;
    let columns = ["1 000 concurrent misses on one key", "loads", "served of 999 when the leader is cancelled"];
    let mut table = Table::new(1, &columns);
    for storm in groups::misses::storms() {
        table.row(vec![storm.name.to_owned(), storm.loads.to_string(), storm.served.to_string()]);
    }
    println!("{table}");
    block_on(retainit.close())
}
