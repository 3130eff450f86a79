//! Standard error, for problems that switch caching off, for settings without an effect, where no log of the program
//! would show them.

use std::collections::BTreeSet;
use std::io::Write;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Error, ErrorKind, caught};
use tracing::Level;

/// Limit on the printed problems of one instance; `health()` lists all.
const MAX_PRINTED: usize = 64;

/// Problems already printed. Each function has one line for each operation that fails, and a problem of several
/// functions one line in all.
#[derive(Debug, Default)]
pub(super) struct Printed(Mutex<PrintedLines>);

#[derive(Debug, Default)]
struct PrintedLines {
    owners: BTreeSet<(String, &'static str)>,
    texts: BTreeSet<String>,
    /// True once nothing more is printed.
    is_over: bool,
}

impl Printed {
    /// Prints why a function runs uncached, unless that was printed or a subscriber of `tracing` shows it.
    pub(super) fn uncached(&self, function: Option<&str>, operation: &'static str, error: &str) {
        // Read before the lock: the log is the program's code and may call this again.
        if is_shown(Level::WARN) {
            return;
        }
        let mut lines = self.0.lock();
        let owner = (function.unwrap_or_default().to_owned(), operation);
        if lines.is_over || lines.owners.contains(&owner) {
            return;
        }
        // The bound counts printed lines: a function whose problem was printed for another is not remembered.
        if !lines.texts.insert(error.to_owned()) {
            return;
        }
        lines.owners.insert(owner);
        lines.is_over = lines.texts.len() > MAX_PRINTED;
        let is_last = lines.is_over;
        drop(lines);
        let who = function.map_or_else(|| "a function".to_owned(), |function| format!("`{function}`"));
        let what = match operation {
            "store" => format!("results of {who} are not cached"),
            "plan" | "key" | "tag" | "tags" | "read" => format!("calls of {who} run uncached"),
            _ => format!("the cache of {who} fails"),
        };
        match is_last {
            false => print(&format!("{what} ({operation}): {error}")),
            true => print("more functions run uncached: `health()` names them"),
        }
    }

    /// Prints advice, once for each text.
    pub(super) fn advice(&self, advice: &str) {
        if is_shown(Level::WARN) {
            return;
        }
        let mut lines = self.0.lock();
        let is_new = !lines.is_over && lines.texts.insert(advice.to_owned());
        drop(lines);
        if is_new {
            print(advice);
        }
    }

    /// Prints every problem of an unusable configuration, a line each, unless a subscriber of `tracing` shows them.
    /// They cause all later problems, which are not printed.
    pub(super) fn unusable(&self, error: &Error) {
        self.0.lock().is_over = true;
        if !is_shown(Level::ERROR) {
            let problems = error.problems();
            let first = problems.iter().take(MAX_PRINTED);
            first
                .for_each(|problem| print(&format!("all functions run uncached, and invalidations fail: {problem:#}")));
            let more = problems.len().saturating_sub(MAX_PRINTED);
            if more > 0 {
                print(&format!("and {more} problems more: `health()` tells them all"));
            }
        }
    }
}

/// Returns true if a record of the engine's with this level reaches a subscriber of `tracing`. Runs the program's code.
fn is_shown(level: Level) -> bool {
    let asked = || match level {
        Level::ERROR => tracing::enabled!(target: "retainit", Level::ERROR),
        _ => tracing::enabled!(target: "retainit", Level::WARN),
    };
    caught(ErrorKind::Backend, "the log", asked).unwrap_or(false)
}

/// Prints one line. A closed standard error is no failure.
fn print(text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    std::io::stderr().lock().write_all(format!("retainit: {line}\n").as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let printed = Printed::default();
        for number in 0..3 * MAX_PRINTED {
            printed.uncached(Some(&format!("f{number}")), "plan", &format!("reason {number}"));
        }
        let lines = printed.0.lock();
        assert_eq!((lines.texts.len(), lines.owners.len()), (MAX_PRINTED + 1, MAX_PRINTED + 1));
    }
}
