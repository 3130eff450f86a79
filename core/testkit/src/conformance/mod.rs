//! Suites that every backend has to pass, each called from one `#[test]` of the plugin.
//!
//! | your backend | call |
//! |---|---|
//! | `Backend` or `LocalBackend` | [`bytes`](fn@bytes), or [`ByteSuite`] for a real server |
//! | `ObjectBackend` | [`object`](fn@object) |
//!
//! The promises of a store come in six groups, and the suite for bytes tests each:
//!
//! | group | cases |
//! |---|---|
//! | time to live | an entry goes when its ttl ends, stays without one, and every store brings its own |
//! | threads | the cases that end in `_under_threads`, and concurrent loaders |
//! | atomicity | fences, stores into empty slots only, counters that are raised, stores that were given up |
//! | errors | abilities that are not declared, calls after `close`, futures that are dropped half way |
//! | cleanup | slots after their lease, hidden placeholders, versions that are kept as long as their entries |
//! | validation | keys of every shape, bytes that come back as they were, prefixes that are no patterns |
//!
//! A case that needs an ability the backend does not declare is skipped, and what is skipped is printed with the
//! reason. Every case is one named function; all of them run, each for at most a minute, and the suite panics at the
//! end with the names of those that failed.

mod bytes;
mod object;

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

pub use bytes::{ByteSuite, bytes};
pub use object::object;

/// A case that takes longer is taken for a deadlock.
const LIMIT: Duration = Duration::from_secs(60);

/// Result of a suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The cases that passed.
    pub passed: Vec<&'static str>,
    /// The cases that do not apply, each with the reason.
    pub skipped: Vec<(&'static str, String)>,
}

/// A promise of a contract, and the abilities that a backend has to offer for it to apply.
struct Case<B> {
    name: &'static str,
    needs: &'static [&'static str],
    run: fn(&B),
}

macro_rules! cases {
    ($($module:ident::$name:ident $($need:literal)*;)*) => {
        &[$($crate::conformance::Case {
            name: stringify!($name),
            needs: &[$($need),*],
            run: $module::$name,
        }),*]
    };
}
use cases;

/// Runs the cases that apply to a backend that offers `offered`, each on a new bench.
fn run<B: 'static>(
    suite: &str,
    cases: &'static [Case<B>],
    offered: &[&'static str],
    bench: Arc<dyn Fn() -> B + Send + Sync>,
) -> Report {
    let (mut report, mut failed) = (Report::default(), Vec::new());
    for case in cases {
        if let Some(missing) = case.needs.iter().find(|need| !offered.contains(need)) {
            println!("{suite}: skipped {}: the backend has no `{missing}`", case.name);
            report.skipped.push((case.name, format!("the backend has no `{missing}`")));
            continue;
        }
        match run_case(case, bench.clone(), LIMIT) {
            Ok(()) => report.passed.push(case.name),
            Err(problem) => failed.push(format!("{}: {problem}", case.name)),
        }
    }
    let (count, list) = (failed.len(), failed.join("\n  "));
    assert!(failed.is_empty(), "{suite}: {count} of {} cases failed\n  {list}", cases.len());
    report
}

/// Runs a case on a thread of its own, so that a deadlock fails that case instead of hanging the test.
fn run_case<B: 'static>(
    case: &Case<B>,
    bench: Arc<dyn Fn() -> B + Send + Sync>,
    limit: Duration,
) -> Result<(), String> {
    let (done, ended) = channel();
    let run = case.run;
    let thread = thread::Builder::new().name(case.name.to_owned()).spawn(move || {
        run(&bench());
        done.send(()).expect("the other end waits for this");
    });
    let thread = thread.map_err(|error| format!("no thread: {error}"))?;
    match ended.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => Err(format!("still running after {limit:?}: a deadlock?")),
        _ => thread.join().map_err(|panic| message_of(&*panic)),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(run: fn(&()), limit: Duration) -> Result<(), String> {
        run_case(&Case { name: "a_case", needs: &[], run }, Arc::new(|| ()), limit)
    }

    #[test]
    fn a_case_passes_fails_with_its_message_or_is_given_up() {
        assert_eq!(outcome(|_| (), LIMIT), Ok(()));
        assert_eq!(outcome(|_| panic!("no {}", "good"), LIMIT), Err("no good".to_owned()));
        assert_eq!(outcome(|_| panic!("plain"), LIMIT), Err("plain".to_owned()));
        let stuck = |_: &()| loop {
            thread::park();
        };
        let given_up = outcome(stuck, Duration::from_millis(5)).expect_err("it never ends");
        assert!(given_up.contains("deadlock"), "{given_up}");
    }
}
