use std::fmt;

use crate::{Error, ErrorKind, Result};

/// A token of a slot in a byte backend, on which a later store depends.
///
/// A store is accepted only while the fence is valid. A removal, a `set` and a refresh invalidate it, so the result of
/// a load that was under way is refused. The backend defines its bytes: a placeholder's random generation in Redis, a
/// stripe's counter on a disk, an ETag in S3. Absence is never a fence where slots become empty by themselves: a
/// backend that finds nothing in a slot has to leave something there, or keep a counter beside it.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::Fence;
///
/// let generation = Fence::number(7);
/// assert_eq!(generation.as_number(), Some(7));
/// let etag = Fence::bytes(b"\"5d41402abc4b2a76b9719d911017c592\"")?;
/// assert_eq!(etag.as_bytes().len(), 34);
/// # Ok::<(), retainit::plugin::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    len: u8,
    /// Zero behind `len`.
    bytes: [u8; Fence::MOST],
}

impl Fence {
    /// The most bytes of a fence.
    pub const MOST: usize = 63;

    /// Makes a fence of a number.
    pub const fn number(number: u64) -> Fence {
        let (mut bytes, number) = ([0; Fence::MOST], number.to_le_bytes());
        let mut at = 0;
        while at < number.len() {
            bytes[at] = number[at];
            at += 1;
        }
        Fence { len: number.len() as u8, bytes }
    }

    /// Makes a fence of the backend's own bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for more than [`Fence::MOST`] bytes.
    pub fn bytes(own: &[u8]) -> Result<Fence> {
        let mut bytes = [0; Fence::MOST];
        let Some(head) = bytes.get_mut(..own.len()) else {
            let text = format!("a fence has at most {} bytes, this one would have {}", Fence::MOST, own.len());
            return Err(Error::new(ErrorKind::Unsupported, text));
        };
        head.copy_from_slice(own);
        Ok(Fence { len: own.len() as u8, bytes })
    }

    /// Returns its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Returns the number that it was made of; `None` for a fence of any other length.
    pub fn as_number(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.as_bytes().try_into().ok()?))
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_number() {
            Some(number) => write!(f, "Fence({number:#018x})"),
            None => write!(f, "Fence({:?})", self.as_bytes().escape_ascii().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_of_every_length_come_back_as_they_were() {
        for len in 0..=Fence::MOST {
            let bytes: Vec<u8> = (1..=len as u8).collect();
            let fence = Fence::bytes(&bytes).expect("it is short enough");
            assert_eq!(fence.as_bytes(), bytes);
            assert_eq!(fence.as_number().is_some(), len == 8);
        }
        assert_eq!(Fence::bytes(&[0; 64]).expect_err("it is too long").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn fences_that_differ_in_trailing_zeros_differ() {
        assert_ne!(Fence::bytes(&[1]).expect("short"), Fence::bytes(&[1, 0]).expect("short"));
        assert_eq!(Fence::number(1), Fence::bytes(&[1, 0, 0, 0, 0, 0, 0, 0]).expect("short"));
        assert_eq!(size_of::<Fence>(), 64);
    }
}
