use std::hash::Hasher;

use smallvec::SmallVec;

/// Where the canonical bytes of a key go: a hash, a comparison with stored bytes, or a buffer.
///
/// One description of a key feeds all of them, so that they cannot disagree.
pub trait Sink {
    /// Takes bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Takes a tag and a word, little-endian: nine bytes, so that comparing them is two loads.
    fn word(&mut self, tag: u8, word: u64);

    /// Takes text: a byte that says how long it is, or a word for longer ones, and its bytes.
    #[inline(always)]
    fn text(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..=SHORT => self.put(&[SHORT_TEXT | len as u8]),
            len => self.word(LONG_TEXT, len as u64),
        }
        self.put(text);
    }
}

/// Text up to this length has its length in its tag.
pub(super) const SHORT: usize = 0x3f;
pub(super) const SHORT_TEXT: u8 = 0x80;
pub(super) const LONG_TEXT: u8 = 0x30;

/// Feeds a hasher. A hash need not be injective, so lengths and tags go in only where they cost nothing.
pub(crate) struct HashSink<H>(pub(crate) H);

impl<H: Hasher> Sink for HashSink<H> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline(always)]
    fn word(&mut self, tag: u8, word: u64) {
        self.0.write_u64(word ^ u64::from(tag) << 56);
    }

    #[inline(always)]
    fn text(&mut self, text: &[u8]) {
        self.0.write(text);
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
    fn word(&mut self, tag: u8, word: u64) {
        match self.rest {
            [first, a, b, c, d, e, f, g, h, rest @ ..] => {
                self.equal &= *first == tag && u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) == word;
                self.rest = rest;
            }
            _ => self.equal = false,
        }
    }
}

/// The canonical bytes of most keys fit without an allocation.
pub(crate) type Bytes = SmallVec<[u8; 36]>;

impl<A: smallvec::Array<Item = u8>> Sink for SmallVec<A> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn word(&mut self, tag: u8, word: u64) {
        self.push(tag);
        self.extend_from_slice(&word.to_le_bytes());
    }
}
