use smallvec::SmallVec;

/// Destination of a key's canonical bytes: a hash, a comparison with stored bytes, or a buffer.
///
/// One description of a key feeds all of them, so that they cannot disagree.
pub trait Sink {
    /// Takes one byte that announces the kind of the next part.
    #[inline(always)]
    fn tag(&mut self, tag: u8) {
        self.put(&[tag]);
    }

    /// Takes bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Takes a tag and a word, little-endian: nine bytes, so that comparing them is two loads.
    fn word(&mut self, tag: u8, word: u64);

    /// Takes text: a byte with its length, or a word for longer ones, and its bytes.
    #[inline(always)]
    fn text(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..=SHORT => self.put(&[SHORT_TEXT | len as u8]),
            len => self.word(LONG_TEXT, len as u64),
        }
        self.put(text);
    }
}

/// Limit on the text whose length fits into its tag.
pub(super) const SHORT: usize = 0x3f;
pub(super) const SHORT_TEXT: u8 = 0x80;
pub(super) const LONG_TEXT: u8 = 0x30;

/// Sink that compares with stored bytes as they come, without a buffer.
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

/// Buffer that holds the canonical bytes of most keys without an allocation.
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
