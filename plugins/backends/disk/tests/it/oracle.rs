//! Two processes on one folder, and a judge over what they saw: **nothing that was acknowledged as removed or
//! invalidated before a read began is ever served by it**. A value counts as older than an invalidation when its source
//! was read, or its `set` acknowledged, before that began; a `set` is an invalidation of what was there before it.

use std::collections::HashMap;
use std::path::Path;

use crate::actor::{PLANT, SECONDS};
use crate::child::Process;
use crate::common::{Bench, count_of};
use crate::events::{self, Cover, Event, KEYS};

#[derive(Debug, Default)]
struct Verdict {
    served: usize,
    invalidated: usize,
    violations: Vec<String>,
}

/// Runs two processes of three threads each.
fn two_processes(seconds: usize, plant: &str) -> Verdict {
    let bench = Bench::new();
    let environment = [(SECONDS, &*seconds.to_string()), (PLANT, plant)];
    let mut processes = [(); 2].map(|()| Process::start_with("actor", &bench.base(), &environment));
    let logs = processes.each_mut().map(|process| {
        assert_eq!(process.lines().next().as_deref(), Some("done"));
        log(&bench.base(), process)
    });
    judge(&logs.concat())
}

fn log(base: &Path, process: &Process) -> Vec<Event> {
    events::read(&events::log_of(base, process.id()))
}

/// An invalidation of one key; `latest` is the last beginning among those that had ended by then.
struct Gone {
    ended: u64,
    latest: (u64, Cover),
}

fn judge(events: &[Event]) -> Verdict {
    let (born, gone) = (births(events), invalidations(events));
    let mut verdict =
        Verdict { invalidated: events.iter().filter(|event| is_gone(event)).count(), ..Verdict::default() };
    for event in events {
        let Event::Served { key, value, began } = *event else { continue };
        verdict.served += 1;
        let at = match born.get(&value) {
            Some((of, at)) if *of == key => *at,
            other => {
                verdict.violations.push(format!("value {value:x} of key {key} was served, which is {other:?}"));
                continue;
            }
        };
        let before = &gone[key as usize];
        let Some(last) = before.partition_point(|gone| gone.ended < began).checked_sub(1) else { continue };
        let (invalidated, cover) = before[last].latest;
        if at < invalidated {
            verdict.violations.push(format!(
                "value {value:x} of key {key}, born at {at}, was served by a read that began at {began}: {cover:?} had \
                 invalidated it, from {invalidated} on"
            ));
        }
    }
    verdict
}

fn is_gone(event: &Event) -> bool {
    matches!(event, Event::Gone { .. })
}

/// Returns the key of each value, and when it was born.
fn births(events: &[Event]) -> HashMap<u64, (u64, u64)> {
    let born = events.iter().filter_map(|event| match *event {
        Event::Born { key, value, at } => Some((value, (key, at))),
        _ => None,
    });
    born.collect()
}

/// Lists for each key what has invalidated it, in the order of the acknowledgements.
fn invalidations(events: &[Event]) -> Vec<Vec<Gone>> {
    let mut all: Vec<(u64, u64, Cover)> = (events.iter())
        .filter_map(|event| match *event {
            Event::Gone { cover, began, ended } => Some((ended, began, cover)),
            _ => None,
        })
        .collect();
    all.sort_unstable_by_key(|(ended, ..)| *ended);
    let of_key = |key| {
        let mut latest = (0, Cover::Key(key));
        let covering = all.iter().filter(|(_, _, cover)| cover.covers(key));
        let gone = covering.map(|(ended, began, cover)| {
            if *began > latest.0 {
                latest = (*began, *cover);
            }
            Gone { ended: *ended, latest }
        });
        gone.collect()
    };
    (0..KEYS).map(of_key).collect()
}

/// `DISK_TEST_SECONDS=60` for the long run.
// T-97, T-129, T-130
#[test]
fn what_two_processes_invalidate_neither_serves() {
    let verdict = two_processes(count_of(SECONDS, 20), "none");
    println!("{} reads were served, {} invalidations acknowledged", verdict.served, verdict.invalidated);
    let (count, first) = (verdict.violations.len(), verdict.violations.first());
    assert_eq!(first, None, "and {count} in all, of {} reads", verdict.served);
    assert!(verdict.served > 100 && verdict.invalidated > 100, "{verdict:?}");
}

/// An oracle that finds nothing proves nothing.
// T-129
#[test]
fn the_oracle_finds_what_is_planted() {
    for plant in ["fences", "versions", "placeholders"] {
        let verdict = two_processes(3, plant);
        assert!(!verdict.violations.is_empty(), "{plant}: nothing was found in {} reads", verdict.served);
    }
}
