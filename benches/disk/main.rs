//! Compares the disk backend with its peers: `cargo bench --bench disk`.
//!
//! Pages of 1 KB and of 100 KB are read, filled (a miss, then a store) and set by 1 and by 64 callers: threads for the
//! sync functions, tasks for the async ones. The contenders of a group take turns, so a ratio compares what ran side
//! by side; figures are medians over rounds. 1.00 is bare rusqlite at the same settings; for tasks behind the same
//! hop to a thread that may block, one for each step, as a fill loads between its two.
//!
//! `BENCH_ROUNDS` sets the number of rounds, of which reads take three times as many; words after `--` choose groups by
//! their titles, such as `sync`, `"100 KB fill"` or `opening`. Everything is stored in the folder for temporary files;
//! `TMPDIR` sets another. Avoid an ext4 without a journal: for minutes after files were removed there, it searches long
//! for a free inode. Compare ratios: the load of the machine changes the rest.

mod opening;
mod peers;
mod retained;
mod rounds;
#[path = "../harness/table.rs"]
mod table;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use retainit::{Cache, Retainit};
use retainit_disk::DiskConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

use peers::{Backend, Bare, Files, Page, Redb, Steps, Store};
use rounds::{Contender, Group, measure};
use table::Table;

const ROUNDS: usize = 11;
const CALLERS: [usize; 2] = [1, 64];
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum What {
    Read,
    Fill,
    Set,
}

/// A size of pages, and how many operations make a round.
struct Load {
    name: &'static str,
    size: usize,
    pages: u64,
    reads: usize,
    writes: usize,
}

static LOADS: [Load; 2] = [
    Load { name: "1 KB", size: 1_000, pages: 10_000, reads: 12_800, writes: 3_200 },
    Load { name: "100 KB", size: 100_000, pages: 512, reads: 1_280, writes: 256 },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::var("BENCH_ROUNDS").ok().map(|rounds| rounds.parse()).transpose()?.unwrap_or(ROUNDS);
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    // From the beginning of a word on: `sync` is not meant to choose `async`.
    let has = |title: &str, word: &String| format!(" {title}").contains(&format!(" {word}"));
    let is_wanted = |title: &str| words.is_empty() || words.iter().any(|word| has(title, word));
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path(), rounds)?;
    let mut table = None;
    for load in &LOADS {
        for what in [What::Read, What::Fill, What::Set] {
            for callers in CALLERS {
                for face in ["sync", "async"] {
                    let title = format!("{face} {} {}, {callers} callers", load.name, what.name());
                    if is_wanted(&title) {
                        let case = Case { load, what, first: stage.fresh.fetch_add(1_000_000, Ordering::Relaxed) };
                        let table = table.get_or_insert_with(|| Table::new(2, &["", "", "us", "k ops/s", "x bare"]));
                        stage.measure(case, face == "sync", callers, title, table);
                    }
                }
            }
        }
    }
    if let Some(table) = table {
        println!("{table}");
    }
    if is_wanted("opening") {
        println!("{}", opening::table(folder.path())?);
    }
    stage.runtime.block_on(stage.retainit.close())?;
    Ok(())
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Read => "read",
            What::Fill => "fill",
            What::Set => "set",
        }
    }
}

/// All contenders, each with a folder of its own.
struct Stage {
    rounds: usize,
    retainit: Retainit,
    cache: Cache<Bytes>,
    runtime: Runtime,
    bare: Arc<dyn Steps>,
    backend: Arc<dyn Steps>,
    redb: Arc<dyn Store>,
    files: Arc<dyn Store>,
    /// First of the pages that were never read.
    fresh: AtomicU64,
}

impl Stage {
    fn new(folder: &Path, rounds: usize) -> Result<Stage, Box<dyn std::error::Error>> {
        // Nothing is given up for lack of time: bare rusqlite waits for as long as it takes, too.
        let disk = |name| DiskConfig::new().base_path(folder.join(name)).max_bytes("64GiB").busy_timeout(PATIENCE);
        let builder = Retainit::builder().op_timeout(PATIENCE);
        let retainit = builder.register_backend("disk", disk("retained")).build()?;
        retainit.install()?;
        Ok(Stage {
            rounds,
            cache: retained::cache(&retainit)?,
            retainit,
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            bare: Arc::new(Bare::open(folder)?),
            backend: Arc::new(Backend::open(&disk("backend"))?),
            redb: Arc::new(Redb::open(folder)?),
            files: Arc::new(Files::open(folder)?),
            fresh: AtomicU64::new(1_000_000),
        })
    }

    fn measure(&self, case: Case, is_sync: bool, callers: usize, mut title: String, table: &mut Table) {
        let contenders = if is_sync { self.threads(case) } else { self.tasks(case) };
        // A round of reads is short, so other load of the machine weighs more in it.
        let rounds = if let What::Read = case.what { 3 * self.rounds } else { self.rounds };
        let group = Group { rounds, operations: case.operations(), callers };
        for measured in measure(&group, &contenders, &self.runtime) {
            table.row(vec![
                std::mem::take(&mut title),
                measured.name.to_owned(),
                format!("{:.2}", measured.nanos / 1_000.0),
                format!("{:.1}", 1_000_000.0 / measured.nanos),
                format!("{:.2}", measured.ratio),
            ]);
        }
    }

    fn threads(&self, case: Case) -> Vec<Contender> {
        let of = |name, store: Arc<dyn Store>| {
            case.prepare(&*store);
            Contender::threads(name, move |step| case.act(&*store, step))
        };
        vec![
            of("bare rusqlite", self.bare.clone()),
            of("retained fn", Arc::new(retained::Sync(self.cache.clone()))),
            of("the backend alone", self.backend.clone()),
            of("redb", self.redb.clone()),
            of("plain files", self.files.clone()),
            Contender::threads("no-op", move |step| drop(black_box((case.page(step), case.value(step))))),
        ]
    }

    fn tasks(&self, case: Case) -> Vec<Contender> {
        let hop = |name, store: &Arc<dyn Steps>| {
            case.prepare(&**store);
            let store = Arc::clone(store);
            Contender::tasks(name, move |step| case.act_in_hops(Arc::clone(&store), step))
        };
        let cache = self.cache.clone();
        case.prepare(&retained::Waiting(&self.runtime, cache.clone()));
        vec![
            hop("bare rusqlite behind a hop", &self.bare),
            Contender::tasks("retained async fn", move |step| {
                retained::act(cache.clone(), case.what, case.page(step), case.value(step))
            }),
            hop("the backend behind a hop", &self.backend),
            Contender::tasks("a hop to nothing", move |step| {
                off_thread(move || drop(black_box((case.page(step), case.value(step)))))
            }),
        ]
    }
}

async fn off_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(act).await.expect("contenders do not panic")
}

/// A measured operation and the pages it is run on.
#[derive(Clone, Copy)]
struct Case {
    load: &'static Load,
    what: What,
    /// First page that nobody has stored, for fills.
    first: u64,
}

impl Case {
    fn operations(self) -> usize {
        if let What::Read = self.what { self.load.reads } else { self.load.writes }
    }

    fn act(self, store: &dyn Store, step: usize) {
        match self.what {
            What::Read => store.read(self.page(step)),
            What::Fill => store.fill(self.page(step), self.value(step)),
            What::Set => store.set(self.page(step), self.value(step)),
        }
    }

    async fn act_in_hops(self, store: Arc<dyn Steps>, step: usize) {
        let (page, value) = (self.page(step), self.value(step));
        match self.what {
            What::Read => off_thread(move || store.read(page)).await,
            What::Fill => {
                let looking = Arc::clone(&store);
                if let Some(fence) = off_thread(move || looking.look(page)).await {
                    off_thread(move || store.store(page, value, fence)).await;
                }
            }
            What::Set => off_thread(move || store.set(page, value)).await,
        }
    }

    fn page(self, step: usize) -> Page {
        let number = match self.what {
            What::Fill => self.first + step as u64,
            What::Read | What::Set => step as u64 * 7_919 % self.load.pages,
        };
        Page { size: self.load.size, number }
    }

    /// Returns bytes that differ in each round throughout: SQLite does not write pages that are there already.
    fn value(self, step: usize) -> Bytes {
        retained::value(self.load.size, step / self.operations())
    }

    /// Stores what will be read or replaced, unless it is there.
    fn prepare(self, store: &dyn Store) {
        let (pages, size) = (self.load.pages, self.load.size);
        let value = || retained::value(size, 0);
        match self.what {
            What::Read => (0..pages).for_each(|number| store.fill(Page { size, number }, value())),
            What::Set => (0..pages).for_each(|number| store.set(Page { size, number }, value())),
            What::Fill => {}
        }
    }
}
