//! Versions that were read before, so that a read with groups need not look for each of them again.

use std::collections::HashMap;

use retainit_plugin::{Group, Version};

/// How many groups are remembered; when they are more, all are forgotten.
const MOST: usize = 1_024;

/// The versions of some groups as of one value of `meta.raised`, which every new and every raised version counts up:
/// while the database shows that value, it shows these versions too, whoever wrote to it meanwhile. One per
/// connection, as connections are used by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Known {
    raised: i64,
    of: HashMap<Group, Lasting, foldhash::fast::RandomState>,
}

/// A version, and until when it lives at least: in the database it may have been given longer since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    pub(crate) version: Version,
    pub(crate) deadline: i64,
}

impl Known {
    /// The versions of `groups` at a value of the counter; `None` if one of them is not known.
    pub(crate) fn versions(&self, raised: i64, groups: &[Group], now: i64) -> Option<Vec<Version>> {
        let live = |group| self.of.get(group).filter(|known| known.deadline > now).map(|known| known.version);
        if self.raised == raised { groups.iter().map(live).collect() } else { None }
    }

    /// Remembers what was read at a value of the counter.
    pub(crate) fn learn(&mut self, raised: i64, group: &Group, lasting: Lasting) {
        if raised != self.raised || self.of.len() >= MOST {
            self.of.clear();
            self.raised = raised;
        }
        self.of.insert(group.clone(), lasting);
    }

    /// Whether a version is known to live until `deadline`.
    pub(crate) fn lives(&self, group: &Group, deadline: i64) -> bool {
        self.of.get(group).is_some_and(|known| known.deadline >= deadline)
    }

    /// Lets the next read look at a group again: it may live longer by now.
    pub(crate) fn forget(&mut self, group: &Group) {
        self.of.remove(group);
    }
}
