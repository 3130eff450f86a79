//! Groups: the keys of their versions, and the versions as text.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use retainit_plugin::GroupVersion;

/// Returns the key of a group's version. What a namespace has in common stands in braces, so that a cluster keeps it
/// together: `r1:t:shop:-:user` is at `r1:t:{shop}:-:user`.
pub(crate) fn key_of(group: &str) -> String {
    let mut parts = group.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(format), Some(plane), Some(namespace), Some(rest)) if !namespace.is_empty() => {
            format!("{format}:{plane}:{{{namespace}}}:{rest}")
        }
        _ => group.to_owned(),
    }
}

/// Reads a version as scripts write it.
pub(crate) fn version(text: &[u8]) -> Option<GroupVersion> {
    let (hard, soft) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some(GroupVersion { hard: hard.parse().ok()?, soft: soft.parse().ok()? })
}

/// Returns a version to begin with: two numbers below 2^52, to which Lua can add without loss.
pub(crate) fn random_base() -> String {
    let base = || random() >> 12;
    format!("{} {}", base(), base())
}

/// Returns a number that no other call returns, in no other process either: keys that the system draws for this process,
/// and a counter.
pub(crate) fn random() -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    STATE.hash_one((std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_namespace_share_a_slot() {
        assert_eq!(key_of("r1:t:shop:-:user"), "r1:t:{shop}:-:user");
        assert_eq!(key_of("r1:e:shop:organization=1:a:b"), "r1:e:{shop}:organization=1:a:b");
        assert_eq!(key_of("other"), "other");
        let slot = |group| crate::slot::slot_of(&key_of(group));
        assert_eq!(slot("r1:t:shop:-:user"), slot("r1:e:shop:-:-"));
    }

    #[test]
    fn bases_are_below_their_limit_and_differ() {
        let (one, other) = (random_base(), random_base());
        assert_ne!(one, other);
        let one = version(one.as_bytes()).expect("a version");
        assert!(one.hard < 1 << 52 && one.soft < 1 << 52);
        assert_eq!(version(b"1 2"), Some(GroupVersion { hard: 1, soft: 2 }));
        assert_eq!(version(b"1"), None);
    }
}
