//! Numbers and lengths of the envelope. The reader never takes more than there is and never allocates by a length it
//! was told.

use retainit_plugin::Bytes;

#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
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

    /// A number in its shortest form: one number has one form, so a header cannot be changed without a trace.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.raw(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.raw(len)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    pub(super) fn read_so_far(&self) -> &'a [u8] {
        &self.all[..self.at]
    }

    pub(super) fn rest(self) -> &'a [u8] {
        &self.all[self.at..]
    }
}
