//! Numbers of which a flipped bit must be noticed.
//!
//! Entries have a checksum of their own. Other numbers that decide whether an entry may be served or stored come in two
//! kinds. Where a number only has to differ from all earlier ones (the counters of stripes, `meta.raised`), it is drawn
//! anew each time: one that was damaged is not among the earlier ones, and what compares with it fails. Where it has to
//! grow (versions), or is reckoned with (`meta.blob_bytes`), it is sealed with this checksum, and a number that does
//! not match counts as missing.

use twox_hash::XxHash3_64;

/// Returns the checksum of numbers that are kept under a name.
pub(crate) fn seal(name: &str, numbers: [i64; 2]) -> i64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&numbers[0].to_le_bytes());
    bytes[8..].copy_from_slice(&numbers[1].to_le_bytes());
    // The name is short: with a long text a seed would cost more.
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&bytes), name.as_bytes()) as i64
}
