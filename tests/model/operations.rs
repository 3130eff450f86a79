//! The operations of a case, their answers, and what each invalidates.

use std::fmt;

/// A key of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) cache: usize,
    pub(crate) key: u64,
}

/// The caches, by number; the third is a retained function.
pub(crate) const CACHES: [&str; 3] = ["a", "b", "model.numbered"];
/// Tags of the caches.
pub(crate) const TAGS: [&[&str]; 3] = [&["t"], &["t", "u"], &["u"]];
pub(crate) const FUNCTION: usize = 2;
pub(crate) const KEYS: u64 = 3;

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", CACHES[self.cache], self.key)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Load,
    LoadThatFails,
    Refresh,
    Get,
    Set,
    /// `set_with` one more tag.
    SetTagged(&'static str),
    SetIfAbsent,
    Remove,
    Clear,
    ClearAll,
    Invalidate(&'static str),
    Expire(&'static str),
    /// One key, or all of a cache.
    Pattern {
        all: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) what: What,
    /// The key it is about, or one of its cache.
    pub(crate) target: Option<Target>,
    /// Number of the process that performs it.
    pub(crate) process: usize,
    /// The value it stores.
    pub(crate) sets: Option<u64>,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { what, target, process, sets } = self;
        write!(f, "{what:?}")?;
        if let Some(target) = target {
            write!(f, " {target}")?;
        }
        if let Some(value) = sets {
            write!(f, " = {value}")?;
        }
        if *process > 0 { write!(f, " (another process)") } else { Ok(()) }
    }
}

/// Answer of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A value from a load, or from wherever `get_or_load` had it.
    Loaded(u64),
    /// A value from the store.
    Found(u64),
    Missed,
    Done,
    /// A `set_if_absent` that found something.
    Present,
    /// Pending: not acknowledged, and queued.
    Owed,
    Failed(String),
    /// Given up: its future was dropped. What it was to set may still be set, but no removal that begins from now on
    /// may be followed by it.
    GivenUp,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Loaded(value) | Answer::Found(value) => write!(f, "-> {value}"),
            Answer::Missed => f.write_str("-> a miss"),
            Answer::Done => f.write_str("is done"),
            Answer::Present => f.write_str("-> present"),
            Answer::Owed => f.write_str("is owed"),
            Answer::Failed(why) => write!(f, "failed: {why}"),
            Answer::GivenUp => f.write_str("is given up"),
        }
    }
}

impl Answer {
    pub(crate) fn value(&self) -> Option<u64> {
        match self {
            Answer::Loaded(value) | Answer::Found(value) => Some(*value),
            _ => None,
        }
    }
}

/// The entries that an invalidation reaches.
#[derive(Clone, Debug)]
pub(crate) enum Cover {
    Key(Target),
    Cache(usize),
    Tag(&'static str),
    All,
}

impl Cover {
    pub(crate) fn covers(&self, target: Target, tags: &[String]) -> bool {
        match self {
            Cover::Key(key) => *key == target,
            Cover::Cache(cache) => *cache == target.cache,
            Cover::Tag(tag) => tags.iter().any(|other| other == tag),
            Cover::All => true,
        }
    }
}

impl Operation {
    /// Returns the entries that nobody may get any more once this answer was given.
    pub(crate) fn cover(&self, answer: &Answer) -> Option<Cover> {
        match (self.what, self.target, answer) {
            (What::Set | What::SetTagged(_) | What::SetIfAbsent, Some(target), Answer::Done)
            | (What::Refresh, Some(target), Answer::Loaded(_)) => Some(Cover::Key(target)),
            (_, _, answer) if !matches!(answer, Answer::Done | Answer::Owed) => None,
            (What::Remove | What::Pattern { all: false }, Some(target), _) => Some(Cover::Key(target)),
            (What::Clear | What::Pattern { all: true }, Some(target), _) => Some(Cover::Cache(target.cache)),
            (What::Invalidate(tag) | What::Expire(tag), ..) => Some(Cover::Tag(tag)),
            (What::ClearAll, ..) => Some(Cover::All),
            _ => None,
        }
    }

    /// Returns whether it may have to wait for another operation.
    pub(crate) fn loads(&self) -> bool {
        matches!(self.what, What::Load | What::LoadThatFails)
    }

    /// Returns whether it invalidates groups.
    pub(crate) fn raises(&self) -> bool {
        matches!(self.what, What::Clear | What::ClearAll | What::Invalidate(_) | What::Expire(_))
    }

    /// Returns the tags of what it stores.
    pub(crate) fn tags(what: What, target: Target) -> Vec<String> {
        let more = match what {
            What::SetTagged(tag) => Some(tag),
            _ => None,
        };
        TAGS[target.cache].iter().copied().chain(more).map(str::to_owned).collect()
    }
}
