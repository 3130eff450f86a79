use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::address::Address;
use crate::error::Problem;
use crate::line::{Line, Open};
use crate::options::Options;
use crate::slot::{SLOTS, slot_of};

/// Replies and values of more bytes than this go over a connection of their own, so that small ones do not wait for them.
pub(crate) const LARGE: usize = 64 << 10;

/// Slots that have had large values. Keys share a slot, so a small value may take the other connection: it is slower
/// there and nothing else.
#[derive(Debug)]
pub(crate) struct LargeValues {
    /// Set if there was any: nothing is computed for a key before.
    any: AtomicBool,
    slots: Vec<AtomicBool>,
}

impl Default for LargeValues {
    fn default() -> LargeValues {
        LargeValues { any: AtomicBool::new(false), slots: (0..SLOTS).map(|_| AtomicBool::new(false)).collect() }
    }
}

impl LargeValues {
    fn has(&self, key: &str) -> bool {
        self.any.load(Ordering::Relaxed) && self.slots[usize::from(slot_of(key))].load(Ordering::Relaxed)
    }

    /// Notes the length of a value that was read or is to be stored.
    pub(crate) fn note(&self, key: &str, length: usize) {
        let is_large = length > LARGE;
        if is_large || self.any.load(Ordering::Relaxed) {
            self.any.fetch_or(is_large, Ordering::Relaxed);
            self.slots[usize::from(slot_of(key))].store(is_large, Ordering::Relaxed);
        }
    }
}

/// A server, and the connections to it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: Arc<Address>,
    lines: Vec<Line>,
    large: Line,
}

impl Node {
    pub(crate) fn new(options: &Options, address: Address) -> Node {
        let lines = (0..options.connections).map(|_| Line::default()).collect();
        Node { address: Arc::new(address), lines, large: Line::default() }
    }

    /// Returns the connection for a key: always the same one, so that what concerns one key keeps its order.
    pub(crate) async fn open(
        &self,
        options: &Arc<Options>,
        large: &LargeValues,
        key: &str,
    ) -> Result<Arc<Open>, Problem> {
        let line = match self.lines.as_slice() {
            _ if large.has(key) => &self.large,
            [one] => one,
            several => &several[usize::from(slot_of(key)) % several.len()],
        };
        line.open(options, &self.address).await
    }

    pub(crate) fn close(&self) {
        self.lines.iter().chain([&self.large]).for_each(Line::close);
    }
}
