//! Versions that were read before, so that a read with groups need not look for each of them again.

use std::collections::HashMap;
use std::ffi::c_uint;

use retainit_plugin::{GroupVersion, GroupVersions};
use rusqlite::Connection;

use crate::vfs;

/// Number of groups that are remembered; when they are more, all are forgotten.
const MOST: usize = 1_024;

/// The versions of some groups as of one value of `meta.raised`, which every new and every raised version draws anew:
/// while the database shows that value, it shows these versions too, whoever wrote to it meanwhile. One per
/// connection, as connections are used by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// SQLite's counter of commits, as the connection saw it when it read `raised`; never the same after one.
    commits: Option<c_uint>,
    raised: i64,
    of: HashMap<Box<str>, Lasting, foldhash::fast::RandomState>,
}

/// A version, and the time until which it is kept at least: in the database it may have been given longer since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting {
    pub(crate) version: GroupVersion,
    pub(crate) deadline: i64,
}

impl Known {
    /// Forgets what is no longer so in the transaction that is open, if it has not raised a version itself. `raised` is
    /// the content of `meta` in it, where that was read.
    pub(crate) fn catch_up(&mut self, connection: &Connection, raised: Option<i64>) -> rusqlite::Result<()> {
        let commits = vfs::commits(connection)?;
        if self.commits == Some(commits) {
            return Ok(());
        }
        let raised = match raised {
            Some(raised) => raised,
            None => {
                let mut select = connection.prepare_cached("SELECT raised FROM meta WHERE id = 1")?;
                select.query_row([], |row| row.get(0))?
            }
        };
        if raised != self.raised {
            self.of.clear();
        }
        (self.commits, self.raised) = (Some(commits), raised);
        Ok(())
    }

    /// Returns the versions of `groups`; `None` if one of them is not known.
    pub(crate) fn versions(&self, groups: &[&str], now: i64) -> Option<GroupVersions> {
        let mut versions = GroupVersions::with_capacity(groups.len());
        for group in groups {
            versions.push(Some(self.of.get(*group).filter(|known| known.deadline > now)?.version));
        }
        Some(versions)
    }

    /// Remembers what was read in the transaction that has caught up.
    pub(crate) fn learn(&mut self, group: &str, lasting: Lasting) {
        if self.of.len() >= MOST {
            self.of.clear();
        }
        self.of.insert(group.into(), lasting);
    }

    /// Returns whether a version is known to be kept until `deadline`.
    pub(crate) fn lives(&self, group: &str, deadline: i64) -> bool {
        self.of.get(group).is_some_and(|known| known.deadline >= deadline)
    }

    /// Lets the next read look at a group again: its version may be kept longer by now.
    pub(crate) fn forget(&mut self, group: &str) {
        self.of.remove(group);
    }
}
