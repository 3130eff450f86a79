use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a memory backend may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// At least one.
    pub(crate) entries: u64,
    /// At least one; `None` leaves bytes uncounted.
    pub(crate) bytes: Option<u64>,
}

/// What a store holds. Changed under the store's lock, read without one.
#[derive(Debug)]
pub(crate) struct Totals {
    bounds: Bounds,
    entries: AtomicU64,
    bytes: AtomicU64,
    /// Whether it was said that it is nearly full.
    told: AtomicBool,
}

impl Totals {
    pub(crate) fn new(bounds: Bounds) -> Totals {
        let zero = AtomicU64::default;
        Totals { bounds, entries: zero(), bytes: zero(), told: AtomicBool::new(false) }
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

    /// Used and capacity of the bound that was just reached to nine tenths. Once; again only after less than 85 % of
    /// every bound was met in between.
    pub(crate) fn nearly_full(&self) -> Option<(u64, u64)> {
        let full = self.filled(90);
        let told = self.told.load(Ordering::Relaxed);
        if full.is_some() && !told && !self.told.swap(true, Ordering::Relaxed) {
            return full;
        }
        if told {
            self.fell();
        }
        None
    }

    /// Looks whether it fell far enough below its bounds to say so again when they are reached.
    pub(crate) fn fell(&self) {
        if self.told.load(Ordering::Relaxed) && self.filled(85).is_none() {
            self.told.store(false, Ordering::Relaxed);
        }
    }

    /// Used and capacity of a bound that is filled to `percent`.
    fn filled(&self, percent: u128) -> Option<(u64, u64)> {
        let entries = (self.entries(), self.bounds.entries);
        let bytes = self.bounds.bytes.map(|capacity| (self.bytes(), capacity));
        let filled = |&(used, capacity): &(u64, u64)| u128::from(used) * 100 >= u128::from(capacity) * percent;
        [Some(entries), bytes].into_iter().flatten().find(filled)
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
