use std::collections::BTreeMap;
use std::time::Duration;

use retainit_plugin::lock::Mutex;
use retainit_plugin::{Clock, EventKind, Moment};

/// Identity of a warning: kind, function, operation, backend.
type WarningKey = (EventKind, Option<String>, &'static str, Option<String>);

/// Interval between equal warnings in a log.
const EVERY: Duration = Duration::from_secs(60);

/// Limit on the different warnings that are remembered at once.
const MAX_WARNINGS: usize = 1024;

/// Filter that lets equal warnings pass once a minute, and counts those between.
#[derive(Debug, Default)]
pub(super) struct Sparse(Mutex<BTreeMap<WarningKey, HeldBack>>);

#[derive(Debug)]
struct HeldBack {
    until: Moment,
    count: u64,
}

impl Sparse {
    /// Returns the number held back since the last that passed; `None` for a warning that is held back itself.
    pub(crate) fn pass(
        &self,
        kind: EventKind,
        function: Option<&str>,
        operation: &'static str,
        backend: Option<&str>,
        clock: &dyn Clock,
    ) -> Option<u64> {
        let warning = (kind, function.map(str::to_owned), operation, backend.map(str::to_owned));
        let now = clock.now();
        let mut all = self.0.lock();
        if let Some(held) = all.get_mut(&warning) {
            if now < held.until {
                held.count += 1;
                return None;
            }
            held.until = now.after(EVERY);
            return Some(std::mem::take(&mut held.count));
        }
        // With too many different warnings the filter starts over: some pass early, and memory stays bounded.
        if all.len() >= MAX_WARNINGS {
            all.clear();
        }
        all.insert(warning, HeldBack { until: now.after(EVERY), count: 0 });
        Some(0)
    }
}

/// Writes the remark of a record about those held back before it.
pub(crate) fn held_back(count: u64) -> Option<String> {
    (count > 0).then(|| format!("{count} more of the same since the last record"))
}
