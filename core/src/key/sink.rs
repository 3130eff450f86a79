use std::hash::Hasher;

use smallvec::SmallVec;

/// Where the canonical bytes of a key go: a hash, a comparison with stored bytes, or a buffer.
///
/// One description of a key feeds all of them, so that they cannot disagree.
pub trait Sink {
    /// Takes bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Takes a tag and the `len` low bytes of `word`, which has no higher ones; little-endian.
    fn word(&mut self, tag: u8, word: u64, len: usize);
}

/// Feeds a hasher. Tag and word go in together: a hash need not be injective.
pub(crate) struct HashSink<H>(pub(crate) H);

impl<H: Hasher> Sink for HashSink<H> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline(always)]
    fn word(&mut self, tag: u8, word: u64, _len: usize) {
        self.0.write_u64(word ^ u64::from(tag) << 56);
    }
}

/// Compares with stored bytes as they come: no buffer, no copy.
pub(crate) struct EqSink<'a> {
    rest: &'a [u8],
    equal: bool,
}

impl<'a> EqSink<'a> {
    #[inline(always)]
    pub(crate) fn new(stored: &'a [u8]) -> Self {
        EqSink { rest: stored, equal: true }
    }

    #[inline(always)]
    pub(crate) fn is_equal(&self) -> bool {
        self.equal && self.rest.is_empty()
    }
}

impl Sink for EqSink<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        match self.rest.split_at_checked(bytes.len()) {
            Some((head, rest)) if head == bytes => self.rest = rest,
            _ => self.equal = false,
        }
    }

    #[inline(always)]
    fn word(&mut self, tag: u8, word: u64, len: usize) {
        let Some((&first, rest)) = self.rest.split_first() else {
            self.equal = false;
            return;
        };
        if first != tag || rest.len() < len {
            self.equal = false;
            return;
        }
        // Eight bytes at once where the stored key is long enough: a comparison of a few bytes costs more.
        let stored = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight) & low_bytes(len),
            None => rest[..len].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        self.equal &= stored == word;
        self.rest = &rest[len..];
    }
}

#[inline(always)]
const fn low_bytes(len: usize) -> u64 {
    if len >= 8 { u64::MAX } else { (1 << (8 * len)) - 1 }
}

/// The canonical bytes of most keys fit without an allocation.
pub(crate) type Bytes = SmallVec<[u8; 36]>;

impl<A: smallvec::Array<Item = u8>> Sink for SmallVec<A> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn word(&mut self, tag: u8, word: u64, len: usize) {
        self.push(tag);
        self.extend_from_slice(&word.to_le_bytes()[..len]);
    }
}
