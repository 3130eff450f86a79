//! What a read and a store cost beside bare rusqlite at the same settings and beside plain files, interleaved in one
//! run: `cargo bench -p retainit-disk`.
//!
//! 10 000 entries of 1 KB, and 500 of 100 KB, under keys as the engine makes them. Bare rusqlite has one table
//! `(key TEXT PRIMARY KEY, value BLOB)` and cached statements. Our reads take the fence, as those of a retained
//! function do; a fill is such a read of an empty slot and a store on its fence.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use retainit_disk::DiskConfig;
use retainit_plugin::{
    BackendConfig, Built, Bytes, Context, Error, Listener, LocalBackend, Read, Removal, Stored, SystemClock, Terms,
    When,
};
use rusqlite::{Connection, OptionalExtension, params};

const LEASE: Duration = Duration::from_secs(60);
const ROUNDS: usize = 9;

#[derive(Debug)]
struct Deaf;

impl Listener for Deaf {
    fn removed(&self, _: Removal<'_>) {}
    fn near_capacity(&self, _: u64, _: u64) {}
    fn failed(&self, operation: &'static str, error: &Error) {
        panic!("{operation}: {error}");
    }
}

struct Load {
    name: &'static str,
    size: usize,
    entries: usize,
    operations: usize,
}

fn key(number: usize) -> String {
    format!("r1:d:default:-:shop::catalogue::product@1:(\"warehouse-{}\",{number})", number % 7)
}

/// The order in which entries are visited: all of them, mixed.
fn mixed(step: usize, entries: usize) -> usize {
    step.wrapping_mul(7_919) % entries
}

struct Bare(Connection);

impl Bare {
    fn open(folder: &Path) -> Bare {
        let connection = Connection::open(folder.join("bare.db")).expect("a database");
        connection.set_prepared_statement_cache_capacity(48);
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 0;
                 PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;
                 PRAGMA journal_size_limit = 16777216;
                 CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB NOT NULL);",
            )
            .expect("pragmas and a table");
        Bare(connection)
    }

    fn read(&self, key: &str) -> Option<Vec<u8>> {
        let mut select = self.0.prepare_cached("SELECT value FROM kv WHERE key = ?1").expect("a statement");
        select.query_row([key], |row| row.get(0)).optional().expect("a read")
    }

    fn store(&self, key: &str, value: &[u8]) {
        let upsert = "INSERT INTO kv VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.0.prepare_cached(upsert).expect("a statement").execute(params![key, value]).expect("a store");
    }
}

struct Files(PathBuf);

impl Files {
    fn path(&self, key: &str) -> PathBuf {
        let name: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.0.join(name)
    }

    fn store(&self, key: &str, value: &[u8]) {
        let (path, aside) = (self.path(key), self.0.join("aside"));
        fs::write(&aside, value).expect("a file");
        fs::rename(aside, path).expect("a name");
    }
}

fn ours(folder: &Path) -> Arc<dyn LocalBackend> {
    let config = DiskConfig::new().base_path(folder.join("ours")).max_bytes(8 << 30);
    match config.build(Context::new("bench", Arc::new(SystemClock), Arc::new(Deaf))) {
        Ok(Built::Local(backend)) => backend,
        other => panic!("disk built {other:?}"),
    }
}

fn fill(ours: &dyn LocalBackend, key: &str, value: &Bytes) {
    let fence = ours.read(key, Read::fenced(LEASE)).expect("a read").fence.expect("a fence");
    let stored = ours.store(key, value.clone(), Terms::new(When::Fenced(fence)).ttl(Some(LEASE)));
    assert_eq!(stored.expect("a store"), Stored::Yes);
}

/// A name, and what it does in each step.
type Contender<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

/// Nanoseconds of each operation in each round; what is compared takes turns.
fn measure(name: &str, operations: usize, mut contenders: Vec<Contender<'_>>) {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let begun = now();
            for step in 0..operations {
                (contender.1)(round * operations + step);
            }
            times.push(begun.elapsed().as_nanos() as f64 / operations as f64);
        }
    }
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(middle).collect();
    print!("{name:22}");
    for ((contender, _), median) in contenders.iter().zip(&medians) {
        print!("  {contender} {:8.2} us ({:4.2} x bare)", median / 1_000.0, medians[0] / median);
    }
    println!();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn run(load: &Load) {
    let folder = tempfile::tempdir().expect("a folder");
    let (bare, ours) = (Bare::open(folder.path()), ours(folder.path()));
    let files = Files(folder.path().join("files"));
    fs::create_dir(&files.0).expect("a folder");
    let value = Bytes::from(vec![7; load.size]);
    let keys: Vec<String> = (0..load.entries).map(key).collect();
    let Load { name, operations, entries, .. } = *load;

    let fresh = operations;
    measure(
        &format!("{name} fill"),
        fresh,
        vec![
            (
                "bare",
                Box::new(|step| {
                    let key = key(1_000_000 + step);
                    black_box(bare.read(&key));
                    bare.store(&key, &value);
                }),
            ),
            ("ours", Box::new(|step| fill(&*ours, &key(1_000_000 + step), &value))),
            (
                "files",
                Box::new(|step| {
                    let key = key(1_000_000 + step);
                    black_box(fs::read(files.path(&key)).is_err());
                    files.store(&key, &value);
                }),
            ),
        ],
    );
    for key in &keys {
        bare.store(key, &value);
        fill(&*ours, key, &value);
        files.store(key, &value);
    }
    let at = |step| keys[mixed(step, entries)].as_str();
    // SQLite does not write what is there already, page by page: each round has other bytes throughout.
    let others: Vec<Bytes> = (0..ROUNDS).map(|round| Bytes::from(vec![round as u8; load.size])).collect();
    let other = |step: usize| others[step / operations].clone();
    let set = |step| {
        let terms = Terms::new(When::Always).ttl(Some(LEASE));
        ours.store(at(step), other(step), terms).expect("a store")
    };
    measure(
        &format!("{name} set"),
        operations,
        vec![
            ("bare", Box::new(|step| bare.store(at(step), &other(step)))),
            (
                "ours",
                Box::new(|step| {
                    black_box(set(step));
                }),
            ),
            ("files", Box::new(|step| files.store(at(step), &other(step)))),
        ],
    );
    let fenced = |key| ours.read(key, Read::fenced(LEASE)).expect("a read").entry.expect("a hit");
    let peek = |key| ours.read(key, Read::peek()).expect("a read").entry.expect("a hit");
    measure(
        &format!("{name} read"),
        operations * 5,
        vec![
            ("bare", Box::new(|step| drop(black_box(bare.read(at(step)).expect("a hit"))))),
            ("ours", Box::new(|step| drop(black_box(fenced(at(step)))))),
            ("peek", Box::new(|step| drop(black_box(peek(at(step)))))),
            ("files", Box::new(|step| drop(black_box(fs::read(files.path(at(step))).expect("a hit"))))),
        ],
    );
}

fn main() {
    // `cargo test` runs benches too, and only wants to know that they work.
    let brief = !std::env::args().any(|argument| argument == "--bench");
    let scale = if brief { 100 } else { 1 };
    for load in [
        Load { name: "1 KB", size: 1_000, entries: 10_000 / scale, operations: 10_000 / scale },
        Load { name: "100 KB", size: 100_000, entries: 500 / scale, operations: 500 / scale },
    ] {
        run(&load);
    }
}
