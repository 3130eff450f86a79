use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bounds of a memory backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bound in entries, at least one.
    pub(crate) entries: u64,
    /// Bound in bytes, at least one; `None` leaves bytes uncounted.
    pub(crate) bytes: Option<u64>,
}

/// Totals of the entries in a store. Changed under the store's lock, read without one.
#[derive(Debug)]
pub(crate) struct Totals {
    bounds: Bounds,
    /// Bounds of which one that is reached is reported.
    nearly: Bounds,
    /// Bounds below which it may be reported again.
    again: Bounds,
    entries: AtomicU64,
    bytes: AtomicU64,
    /// Set once it was reported as nearly full.
    reported: AtomicBool,
}

impl Bounds {
    /// Returns a share of each bound, rounded up. Taken once: each insert compares with it.
    fn percent(self, percent: u64) -> Bounds {
        // Below the bound itself, so that it fits.
        let share = |of: u64| (u128::from(of) * u128::from(percent)).div_ceil(100) as u64;
        Bounds { entries: share(self.entries), bytes: self.bytes.map(share) }
    }
}

impl Totals {
    pub(crate) fn new(bounds: Bounds) -> Totals {
        let zero = AtomicU64::default;
        let (nearly, again) = (bounds.percent(90), bounds.percent(85));
        Totals { bounds, nearly, again, entries: zero(), bytes: zero(), reported: AtomicBool::new(false) }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts one change as a whole, so that nobody ever reads more than there was.
    pub(crate) fn change(&self, came: (usize, u64), left: (usize, u64)) {
        if came.0 != left.0 {
            self.entries.fetch_add((came.0 as u64).wrapping_sub(left.0 as u64), Ordering::Relaxed);
        }
        if came.1 != left.1 {
            self.bytes.fetch_add(came.1.wrapping_sub(left.1), Ordering::Relaxed);
        }
    }

    /// Returns used and capacity of the bound that was just reached to nine tenths: once, and again only after less
    /// than 85 % of every bound was met in between.
    pub(crate) fn nearly_full(&self) -> Option<(u64, u64)> {
        if self.reported.load(Ordering::Relaxed) {
            self.fell();
            return None;
        }
        let full = self.reached(self.nearly)?;
        (!self.reported.swap(true, Ordering::Relaxed)).then_some(full)
    }

    /// Checks whether it is far enough below its bounds to report it again when they are reached.
    pub(crate) fn fell(&self) {
        if self.reported.load(Ordering::Relaxed) && self.reached(self.again).is_none() {
            self.reported.store(false, Ordering::Relaxed);
        }
    }

    /// Returns used and capacity of a bound whose share in `shares` is reached.
    fn reached(&self, shares: Bounds) -> Option<(u64, u64)> {
        let entries = self.entries();
        if entries >= shares.entries {
            return Some((entries, self.bounds.entries));
        }
        let (share, capacity) = shares.bytes.zip(self.bounds.bytes)?;
        let bytes = self.bytes();
        (bytes >= share).then_some((bytes, capacity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_said_once_until_it_fell() {
        let totals = Totals::new(Bounds { entries: 100, bytes: Some(1_000) });
        totals.change((89, 0), (0, 0));
        assert_eq!(totals.nearly_full(), None);
        totals.change((1, 0), (0, 0));
        assert_eq!(totals.nearly_full(), Some((90, 100)));
        assert_eq!(totals.nearly_full(), None);
        totals.change((0, 0), (5, 0));
        totals.fell();
        totals.change((10, 0), (0, 0));
        assert_eq!(totals.nearly_full(), None, "85 is not below 85 %");
        totals.change((0, 0), (11, 0));
        totals.fell();
        totals.change((0, 950), (0, 0));
        assert_eq!(totals.nearly_full(), Some((950, 1_000)));
    }

    #[test]
    fn tiny_bounds_are_reached_too() {
        let totals = Totals::new(Bounds { entries: 1, bytes: None });
        assert_eq!(totals.nearly_full(), None);
        totals.change((1, 0), (0, 0));
        assert_eq!(totals.nearly_full(), Some((1, 1)));
        totals.change((0, 0), (1, 0));
        totals.fell();
        totals.change((1, 0), (0, 0));
        assert_eq!(totals.nearly_full(), Some((1, 1)));
    }
}
