//! Measures the first answers from a folder of a million entries.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use retainit_disk::DiskConfig;

use crate::peers::{Backend, Page, Store};
use crate::rounds::{median, now};
use crate::table::Table;

const ENTRIES: u64 = 1_000_000;
const SIZE: usize = 100;
const OPENINGS: u64 = 5;

/// Returns the median over some openings, from before the build to the answer of the first read.
pub(crate) fn table(folder: &Path) -> Result<Table, Box<dyn std::error::Error>> {
    let folder = folder.join("million");
    let config = DiskConfig::new().base_path(&folder).max_bytes("64GiB").sync("off");
    let page = |number| Page { size: SIZE, number };
    let filling = Backend::open(&config)?;
    (0..ENTRIES).for_each(|number| filling.fill(page(number), Bytes::from_static(&[7; SIZE])));
    drop(filling);
    let mut times = Vec::new();
    let before = bytes_read()?;
    for opening in 0..OPENINGS {
        let begun = now();
        Backend::open(&config)?.read(page(opening * 7_919 % ENTRIES));
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let read = (bytes_read()? - before) / OPENINGS;
    let mut table =
        Table::new(1, &["opening 1 000 000 entries", "ms to the first answer", "KB read", "KB on the disk"]);
    table.row(vec![
        "the backend".to_owned(),
        format!("{:.2}", median(times)),
        (read / 1_000).to_string(),
        (size(&folder)? / 1_000).to_string(),
    ]);
    Ok(table)
}

/// Returns the bytes that this process has read from files so far; zero where the system does not count them.
fn bytes_read() -> Result<u64, Box<dyn std::error::Error>> {
    let counters = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let read = counters.lines().find_map(|line| line.strip_prefix("rchar: "));
    Ok(read.map(str::parse).transpose()?.unwrap_or(0))
}

fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
