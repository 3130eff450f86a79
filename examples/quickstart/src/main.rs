//! A slow function answered from the cache, on files of your own:
//!
//! ```text
//! cargo run --profile quickstart -p quickstart -- [folder] [--backend disk|memory] [--profile name]
//! ```
//!
//! It digests every file below the folder (default: this project) with BLAKE3, twice. The function is retained under
//! path, length and time of the last change, so the second pass reads no file that has not changed in between. On disk,
//! the default, results are in `.cache/retainit` below the working directory, and a second run of the program reads
//! none either. `--profile` takes `profiles/<name>.toml` beside this project's `retainit.toml`, and its backend unless
//! `--backend` names one.
//!
//! Folders called `.cache`, `.git`, `.retainit`, `target` or `target-…` are skipped, and so is everything that is no
//! file. Links to files are followed, links to folders are not.
//!
//! Exit codes: 0 done, whatever could not be read; 2 wrong usage, no such folder, or a cache that cannot be used.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use retainit::{DiskConfig, MemoryConfig, Retainit, retain};

mod progress;

use progress::Progress;

/// Digests a file: the slow function. One attribute keeps its results; errors are not kept. Length and time are there
/// for the key: once one of them changes, the file is read again.
#[retain]
fn digest(path: &Path, _length: u64, _modified: SystemTime) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().into())
}

/// Totals of one pass over the folder.
#[derive(Default)]
struct Pass {
    files: u64,
    bytes: u64,
    hits: u64,
    spent: Duration,
    /// Time of that in which the function itself ran.
    loading: Duration,
    saved: Duration,
}

/// Arguments of the command line.
struct Asked {
    folder: PathBuf,
    backend: Option<String>,
    profile: Option<String>,
}

const USAGE: &str = "usage: quickstart [folder] [--backend disk|memory] [--profile name]";

fn main() -> ExitCode {
    match asked(std::env::args_os().skip(1)).and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("quickstart: {problem}");
            ExitCode::from(2)
        }
    }
}

fn asked(mut arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let (mut folder, mut backend, mut profile) = (None, None, None);
    while let Some(argument) = arguments.next() {
        let option = match argument.to_str() {
            Some("--backend") => &mut backend,
            Some("--profile") => &mut profile,
            Some(other) if other.starts_with('-') => return Err(format!("unknown option {other}\n{USAGE}")),
            _ if folder.is_some() => return Err(format!("expected at most one folder\n{USAGE}")),
            _ => {
                folder = Some(PathBuf::from(argument));
                continue;
            }
        };
        let value = arguments.next().and_then(|value| value.into_string().ok());
        *option = Some(value.ok_or_else(|| format!("{} wants a name\n{USAGE}", argument.display()))?);
    }
    let folder = folder.unwrap_or_else(project);
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(Asked { folder, backend, profile }),
        Ok(_) => Err(format!("{} is not a folder", folder.display())),
        Err(error) => Err(format!("cannot open the folder {}: {error}", folder.display())),
    }
}

/// Returns the folder of this project: two above this package, which cargo names.
fn project() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    package.as_deref().and_then(|folder| folder.ancestors().nth(2)).unwrap_or(Path::new(".")).to_owned()
}

fn run(asked: &Asked) -> Result<(), String> {
    let files = files_below(&asked.folder);
    let retainit = instance(asked, files.len())?;
    let kept = retainit.effective().get("backends.quickstart.base_path").map(|path| path.value().to_owned());
    if let Some(kept) = &kept {
        println!("Results are kept in {kept}; delete it to begin anew.\n");
    }
    let first = pass("first pass", &files, true);
    let second = pass("second pass", &files, false);
    print(&[("first", &first), ("second", &second)]);
    if first.files > 0 {
        println!("\n{}", compared(&retainit, asked, &first, &second)?);
    }
    retainit.blocking().close().map_err(|error| error.to_string())
}

/// Builds the requested cache, as the one that retained functions use.
fn instance(asked: &Asked, files: usize) -> Result<Retainit, String> {
    let mut builder = Retainit::builder();
    if let Some(profile) = &asked.profile {
        builder = builder.config_file(project().join("retainit.toml")).profile(profile);
    }
    builder = match asked.backend.as_deref() {
        None if asked.profile.is_some() => builder,
        None | Some("disk") => builder.register_backend("quickstart", DiskConfig::new()).default_backend("quickstart"),
        // Room for one entry per file, to the last one, and for the record of the run.
        Some("memory") => {
            let room = MemoryConfig::new().max_entries(files + 1).strict(true);
            builder.register_backend("quickstart", room).default_backend("quickstart")
        }
        Some(other) => return Err(format!("there is no backend {other}: expected disk or memory\n{USAGE}")),
    };
    let retainit = builder.build().map_err(|error| error.to_string())?;
    let health = retainit.blocking().health().map_err(|error| error.to_string())?;
    if !health.is_healthy() {
        let problems: Vec<_> = health.failing.iter().map(|(name, error)| format!("{name}: {error}")).collect();
        return Err(format!("the cache cannot be used; try --backend memory\n{}", problems.join("\n")));
    }
    retainit.install().map_err(|error| error.to_string())?;
    Ok(retainit)
}

/// Compares the two passes: with each other or, where the first one read no file, with the run that did.
fn compared(retainit: &Retainit, asked: &Asked, first: &Pass, second: &Pass) -> Result<String, String> {
    // Of the run that answered nothing from the cache, in nanoseconds: what the first pass took, and the function in
    // it.
    let filled = retainit.cache::<(u64, u64)>("quickstart.filled").build().map_err(|error| error.to_string())?;
    let (filled, folder) = (filled.blocking(), asked.folder.display().to_string());
    let times = |slow: Duration, fast: Duration| slow.as_secs_f64() / fast.as_secs_f64().max(f64::MIN_POSITIVE);
    if first.hits == first.files {
        let Some((spent, loading)) = filled.get(&folder).map_err(|error| error.to_string())?.value() else {
            return Ok("The first pass read no file: earlier runs had.".to_owned());
        };
        let [spent, loading] = [spent, loading].map(Duration::from_nanos);
        return Ok(format!(
            "The first pass read no file and was {:.1} times as fast as in the run that filled the cache, which took {}: \
             {} to read and digest, the rest to keep the results.",
            times(spent, first.spent),
            time(spent),
            time(loading),
        ));
    }
    let times = times(first.spent, second.spent);
    if first.hits > 0 {
        return Ok(format!(
            "{} of {} files were new or had changed, and were read. The second pass was {times:.1} times as fast.",
            first.files - first.hits,
            first.files
        ));
    }
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    filled.set(&folder, (nanos(first.spent), nanos(first.loading))).map_err(|error| error.to_string())?;
    Ok(format!("The second pass was {times:.1} times as fast as the first."))
}

/// Lists every file below a folder. A folder that cannot be listed is one line, and the rest goes on.
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
    matches!(&*name, ".cache" | ".git" | ".retainit" | "target") || name.starts_with("target-")
}

/// Prints one line about a file that could not be read.
fn skipped<T: Default>(path: &Path, error: &io::Error) -> T {
    eprintln!("skipped {}: {error}", path.display());
    T::default()
}

/// Digests all files. Files that cannot be read are named in the first pass only.
fn pass(name: &'static str, files: &[PathBuf], is_first: bool) -> Pass {
    let before = digest::cache().stats();
    let mut progress = Progress::new(name, files.len());
    let mut pass = Pass::default();
    for path in files {
        match digest_file(path) {
            Ok(length) => {
                pass.files += 1;
                pass.bytes += length;
            }
            Err(error) if is_first => {
                progress.hide();
                skipped(path, &error)
            }
            Err(_) => {}
        }
        progress.advance();
    }
    pass.spent = progress.elapsed();
    drop(progress);
    let stats = digest::cache().stats();
    pass.hits = stats.hits - before.hits;
    pass.loading = stats.load_time - before.load_time;
    pass.saved = stats.mean_load_time().mul_f64(pass.hits as f64);
    pass
}

/// Requests the digest of a file as it is now, and returns its length.
fn digest_file(path: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(path)?;
    digest(path, metadata.len(), metadata.modified()?)?;
    Ok(metadata.len())
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
    for (name, Pass { files, bytes, hits, spent, saved, .. }) in passes {
        println!(
            "{name:<7} {files:>8} {:>10} {hits:>8} {:>8} {:>10} {:>10}",
            size(*bytes),
            files - hits,
            time(*spent),
            time(*saved),
        );
    }
}

fn time(time: Duration) -> String {
    if time.is_zero() { "-".into() } else { format!("{time:.1?}") }
}

/// Writes a number of bytes in the largest unit of which there is one.
fn size(bytes: u64) -> String {
    match bytes.checked_ilog2().unwrap_or_default() / 10 {
        0 => format!("{bytes} B"),
        step => {
            let unit = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][step as usize - 1];
            format!("{:.2} {unit}", bytes as f64 / 1024_f64.powi(step as i32))
        }
    }
}
