use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use retainit_plugin::{Scan, StoreCondition, Stored};

use crate::child::{Process, number_of};
use crate::common::{Bench, Disk, LEASE, count_of, peek, put};

/// Returns the rounds of killing; `DISK_TEST_KILLS=1000` for the long run.
fn kills() -> usize {
    count_of("DISK_TEST_KILLS", 200)
}

// T-97
#[test]
fn a_killed_writer_leaves_entries_that_are_right_or_missing() {
    let bench = Bench::new();
    for round in 0..kills() {
        let mut writers = [(); 2].map(|()| Process::start("writer", &bench.base()));
        let acknowledged = writers.each_mut().map(|writer| {
            let mut lines = writer.lines();
            assert!(lines.next().is_some(), "the writer has begun");
            thread::spawn(move || lines.last())
        });
        thread::sleep(Duration::from_millis(round as u64 * 37 % 90));
        drop(writers);
        let disk = bench.open_in_real_time();
        for key in keys(&disk) {
            if let Some(found) = peek(&disk, &key) {
                assert!(number_of(&key, &found).is_some(), "{key} is wrong after round {round}");
            }
        }
        for last in acknowledged {
            last.join().unwrap();
        }
        disk.close().unwrap();
    }
    assert_eq!(bench.failures(), [""; 0], "killing damages nothing");
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let bench = Bench::new();
    let mut writer = Process::start("writer", &bench.base());
    let mut lines = writer.lines();
    let seen: u64 = lines.nth(50).expect("it goes on").parse().unwrap();
    drop(writer);
    let last = lines.last().map_or(seen, |line| line.parse().unwrap());
    let disk = bench.open_in_real_time();
    let own: Vec<_> = keys(&disk).into_iter().filter(|key| key.starts_with("own")).collect();
    let [own] = &own[..] else { panic!("one writer, but {own:?}") };
    let found = number_of(own, &peek(&disk, own).expect("it was acknowledged")).expect("it is right");
    assert!(found == last || found == last + 1, "{found} is there, {last} was acknowledged");
}

fn keys(disk: &Disk) -> Vec<String> {
    let (mut keys, mut scan) = (Vec::new(), Scan::prefix(""));
    loop {
        let page = disk.scan(scan).expect("a scan");
        keys.extend(page.keys);
        let Some(next) = page.next else { return keys };
        scan = Scan::prefix("").after(next);
    }
}

/// One process changes a source and removes what was kept of it; loads of this one must never bring back what was
/// loaded before a removal that had been acknowledged when a read began.
#[test]
fn a_removal_by_another_process_wins_over_loads_here() {
    let bench = Bench::new();
    fs::create_dir_all(bench.base()).unwrap();
    fs::write(bench.base().join("source"), "0").unwrap();
    let disk = bench.open_in_real_time();
    let mut bumper = Process::start("bumper", &bench.base());
    let (acknowledged, lines) = (AtomicU64::new(0), bumper.lines());
    let loads = thread::scope(|scope| {
        scope.spawn(|| lines.for_each(|line| acknowledged.store(line.parse().unwrap(), Ordering::SeqCst)));
        let loaders = [(); 2].map(|()| scope.spawn(|| load(&bench, &disk, &acknowledged)));
        loaders.map(|loader| loader.join().expect("no loader fails")).iter().sum::<u64>()
    });
    assert!(loads > 0, "no load was stored");
}

fn load(bench: &Bench, disk: &Disk, acknowledged: &AtomicU64) -> u64 {
    let mut stored = 0;
    loop {
        let least = acknowledged.load(Ordering::SeqCst);
        let snapshot = disk.read("key", retainit_plugin::Read::take(LEASE)).expect("a read");
        if let Some(found) = &snapshot.entry {
            let found: u64 = std::str::from_utf8(found).expect("text").parse().expect("a number");
            assert!(found >= least, "{found} was read after the removal of all below {least}");
            if least == 300 {
                return stored;
            }
            thread::yield_now();
            continue;
        }
        let loaded = fs::read(bench.base().join("source")).expect("the source can be read");
        let fence = snapshot.fence.expect("fences are declared");
        stored += u64::from(put(disk, "key", loaded, StoreCondition::Fenced(fence)) == Stored::Yes);
    }
}
