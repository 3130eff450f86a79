//! Events that the actors of [`oracle`](crate::oracle) write down, and the model of keys and groups that they and the
//! oracle share.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// An event, with times in nanoseconds of the system's clock, which all processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A value of a key, and when its source was read or its `set` acknowledged; at the end of time if it was not.
    Born { key: u64, value: u64, at: u64 },
    /// A value was read in an operation that began then.
    Served { key: u64, value: u64, began: u64 },
    /// An invalidation that was acknowledged.
    Gone { cover: Cover, began: u64, ended: u64 },
}

/// The entries that an invalidation covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    Key(u64),
    Group(u64),
    Area(u64),
}

impl Cover {
    pub(crate) fn covers(self, key: u64) -> bool {
        match self {
            Cover::Key(other) => key == other,
            Cover::Group(group) => groups_of(key).contains(&group),
            Cover::Area(area) => area_of(key) == area,
        }
    }
}

pub(crate) const KEYS: u64 = 24;
pub(crate) const AREAS: u64 = 3;
pub(crate) const GROUPS: u64 = 4;
const ALL: u64 = GROUPS;

fn area_of(key: u64) -> u64 {
    key % AREAS
}

pub(crate) fn groups_of(key: u64) -> [u64; 2] {
    [key % GROUPS, ALL]
}

pub(crate) fn area(area: u64) -> String {
    format!("r1:d:default:-:area{area}@1:")
}

pub(crate) fn text(key: u64) -> String {
    format!("{}{key}", area(area_of(key)))
}

pub(crate) fn group(number: u64) -> String {
    format!("r1:t:default:-:{number}")
}

/// Returns the path of a process's log, beside the folder of the cache.
pub(crate) fn log_of(base: &Path, process: u32) -> PathBuf {
    base.with_file_name(format!("events-{process}"))
}

/// Leaves the log of a process.
pub(crate) fn write(path: &Path, events: &[Event]) -> std::io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for event in events {
        let words = match *event {
            Event::Born { key, value, at } => [0, key, value, at],
            Event::Served { key, value, began } => [1, key, value, began],
            Event::Gone { cover: Cover::Key(key), began, ended } => [2, key, began, ended],
            Event::Gone { cover: Cover::Group(group), began, ended } => [3, group, began, ended],
            Event::Gone { cover: Cover::Area(area), began, ended } => [4, area, began, ended],
        };
        words.iter().try_for_each(|word| file.write_all(&word.to_le_bytes()))?;
    }
    file.flush()
}

/// Reads the log of a process.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).expect("the log can be read");
    let event = |words: &[u8]| {
        let word = |at: usize| u64::from_le_bytes(*words[at * 8..].first_chunk().expect("four words"));
        let (number, second, third) = (word(1), word(2), word(3));
        let gone = |cover| Event::Gone { cover, began: second, ended: third };
        match word(0) {
            0 => Event::Born { key: number, value: second, at: third },
            1 => Event::Served { key: number, value: second, began: third },
            2 => gone(Cover::Key(number)),
            3 => gone(Cover::Group(number)),
            _ => gone(Cover::Area(number)),
        }
    };
    bytes.chunks_exact(32).map(event).collect()
}
