//! Writes and reads the numbers and lengths of the envelope. The reader never reads beyond the end and never allocates
//! by a length from the input.

use retainit_plugin::Bytes;

/// The most bytes of a number: nine of them hold 63 bits, the tenth holds one.
const LONGEST: usize = 10;

#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(capacity: usize) -> Writer {
        Writer(Vec::with_capacity(capacity))
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}

#[derive(Debug)]
pub(super) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(all: &'a [u8]) -> Self {
        Reader { all, at: 0 }
    }

    pub(super) fn raw(&mut self, len: usize) -> Option<&'a [u8]> {
        let bytes = self.all.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(bytes)
    }

    /// Reads a number in its shortest form. Other forms are refused: one number has one encoding.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.all.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Some(byte.into())
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Option<u64> {
        const CONTINUED: u64 = 0x8080_8080_8080_8080;
        // Most numbers have up to eight bytes and are read at once: groups of seven bits are joined by twos, fours,
        // eights.
        if let Some(bytes) = self.all[self.at..].first_chunk::<8>() {
            let word = u64::from_le_bytes(*bytes);
            let stop = !word & CONTINUED;
            if stop != 0 {
                let bits = stop.trailing_zeros() + 1;
                let sevens = word & (u64::MAX >> (64 - bits)) & !CONTINUED;
                let pairs = (sevens & 0x007f_007f_007f_007f) | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
                let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
                let number = (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4;
                self.at += bits as usize / 8;
                let last = sevens >> (bits - 8);
                return (last != 0).then_some(number);
            }
        }
        let mut number = 0u64;
        for (at, &byte) in self.all[self.at..].iter().take(LONGEST).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                let fits = at + 1 < LONGEST || byte == 1;
                self.at += at + 1;
                return (byte != 0 && fits).then_some(number);
            }
        }
        None
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.raw(len)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a str> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Some("") } else { std::str::from_utf8(bytes).ok() }
    }

    pub(super) fn read_so_far(&self) -> &'a [u8] {
        &self.all[..self.at]
    }

    pub(super) fn rest(self) -> &'a [u8] {
        &self.all[self.at..]
    }
}
