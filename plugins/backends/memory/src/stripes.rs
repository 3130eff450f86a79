use parking_lot::{Mutex, MutexGuard};
use retainit_plugin::{Fence, Place};

const STRIPES: usize = 4_096;

/// The fences: counters that keys share by hash.
///
/// Whoever changes an entry holds its stripe while it does; readers never look here. Locks are taken in the order
/// stripe, then store.
pub(crate) struct Stripes(Box<[Mutex<u64>]>);

/// A stripe that is held.
pub(crate) struct Stripe<'a>(MutexGuard<'a, u64>);

impl Stripes {
    pub(crate) fn new() -> Stripes {
        Stripes((0..STRIPES).map(|_| Mutex::new(0)).collect())
    }

    /// The bits above those that choose a shard, and below those that hashbrown keeps as tags.
    pub(crate) fn hold(&self, place: Place) -> Stripe<'_> {
        let index = (place.hash >> 44) as usize % STRIPES;
        Stripe(self.0[index].lock())
    }

    pub(crate) fn break_all(&self) {
        for stripe in &self.0 {
            *stripe.lock() += 1;
        }
    }
}

impl Stripe<'_> {
    pub(crate) fn fence(&self) -> Fence {
        Fence::new(*self.0)
    }

    /// Refuses every fence taken so far.
    pub(crate) fn bump(&mut self) {
        *self.0 += 1;
    }
}
