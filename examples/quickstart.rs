//! A slow function answered from the cache, on files of your own:
//!
//! ```text
//! cargo run --release --example quickstart -- <folder>
//! ```
//!
//! It digests every file below the folder (default: this project) with BLAKE3, twice. The function is retained under
//! path, length and time of the last change, so the second pass reads no file that has not changed in between. Folders
//! called `.git`, `.retainit`, `target` or `target-…` are skipped, and so is everything that is no file. Links to files
//! are followed, links to folders are not.
//!
//! Exit codes: 0 done, whatever could not be read; 2 wrong usage, or no such folder.

use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use retainit::{MemoryConfig, Retainit, retain};

/// The slow function. One attribute keeps its results; errors are not kept. Length and time are there for the key: once
/// one of them changes, the file is read again.
#[retain]
fn digest(path: &Path, _length: u64, _modified: SystemTime) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
}

/// What one pass over the folder came to.
#[derive(Default)]
struct Pass {
    files: u64,
    bytes: u64,
    hits: u64,
    spent: Duration,
    saved: Duration,
}

fn main() -> ExitCode {
    match folder().and_then(|folder| run(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("quickstart: {problem}");
            ExitCode::from(2)
        }
    }
}

/// The folder that was asked for.
fn folder() -> Result<PathBuf, String> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = match arguments.next() {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into())),
    };
    if arguments.next().is_some() {
        return Err("expected at most one folder\nusage: quickstart [folder]".into());
    }
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => Err(format!("{} is not a folder", folder.display())),
        Err(error) => Err(format!("cannot open the folder {}: {error}", folder.display())),
    }
}

fn run(folder: &Path) -> Result<(), String> {
    let files = files_below(folder);
    // Room for one entry per file, to the last one.
    let room = MemoryConfig::new().max_entries(files.len().max(1)).strict(true);
    let retainit = Retainit::builder().register_backend("memory", room).build();
    retainit.and_then(|retainit| retainit.install()).map_err(|error| error.to_string())?;

    let first = pass("first pass", &files, true);
    let second = pass("second pass", &files, false);
    print(&[("first", &first), ("second", &second)]);
    if first.files > 0 && !second.spent.is_zero() {
        let times = first.spent.as_secs_f64() / second.spent.as_secs_f64();
        println!("\nThe second pass was {times:.1} times as fast as the first.");
    }
    Ok(())
}

/// Every file below a folder. What cannot be listed is one line, and the rest goes on.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.unwrap_or_else(|error| skipped(&folder, &error)) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && is_left_out(&entry.path()) => {}
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                // Behind a link there may be anything; a pipe would keep whoever opens it waiting.
                Ok(kind) if kind.is_symlink() => match fs::metadata(entry.path()) {
                    Ok(target) if target.is_file() => files.push(entry.path()),
                    Ok(_) => {}
                    Err(error) => skipped(&entry.path(), &error),
                },
                Ok(_) => {}
                Err(error) => skipped(&entry.path(), &error),
            }
        }
    }
    files
}

fn is_left_out(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    matches!(&*name, ".git" | ".retainit" | "target") || name.starts_with("target-")
}

/// One line about what could not be read.
fn skipped<T: Default>(path: &Path, error: &io::Error) -> T {
    eprintln!("skipped {}: {error}", path.display());
    T::default()
}

/// Digests all files. What cannot be read is named in the first pass only.
fn pass(name: &'static str, files: &[PathBuf], is_first: bool) -> Pass {
    let progress = progress(name, files.len() as u64);
    let before = digest::cache().stats();
    let start = now();
    let mut pass = Pass::default();
    for path in files {
        match digest_file(path) {
            Ok(length) => {
                pass.files += 1;
                pass.bytes += length;
            }
            Err(error) if is_first => progress.suspend(|| skipped(path, &error)),
            Err(_) => {}
        }
        progress.inc(1);
    }
    pass.spent = start.elapsed();
    progress.finish_and_clear();
    let stats = digest::cache().stats();
    pass.hits = stats.hits - before.hits;
    pass.saved = stats.mean_load_time().mul_f64(pass.hits as f64);
    pass
}

/// Asks for the digest of a file as it is now, and gives its length.
fn digest_file(path: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(path)?;
    digest(path, metadata.len(), metadata.modified()?)?;
    Ok(metadata.len())
}

/// A bar on a terminal, a line elsewhere.
fn progress(name: &'static str, files: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        eprintln!("{name}: {files} files");
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:11} [{bar:40}] {pos} of {len} files, {eta} left");
    ProgressBar::new(files).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(name)
}

#[expect(clippy::disallowed_methods, reason = "an example measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn print(passes: &[(&str, &Pass)]) {
    println!(
        "{:<7} {:>8} {:>10} {:>8} {:>8} {:>10} {:>10}",
        "pass", "files", "bytes", "hits", "misses", "spent", "saved"
    );
    for (name, Pass { files, bytes, hits, spent, saved }) in passes {
        println!(
            "{name:<7} {files:>8} {:>10} {hits:>8} {:>8} {:>10} {:>10}",
            indicatif::HumanBytes(*bytes).to_string(),
            files - hits,
            time(*spent),
            time(*saved),
        );
    }
}

fn time(time: Duration) -> String {
    if time.is_zero() { "-".into() } else { format!("{time:.1?}") }
}
