//! Reading values back right after they were written, before they are stored: a serializer may take a value without an
//! error and give another one back.

use std::any::TypeId;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use retainit_plugin::{Error, ErrorKind};

use retainit_plugin::lock::Mutex;

/// Number of the first values of a type that are read back in each format.
const FIRST: u64 = 16;
/// Average number of later values of which one is read back, unless every one is.
const SAMPLE: u64 = 64;

/// History of a function's values that were read back.
#[derive(Debug, Default)]
pub(crate) struct ReadBack {
    /// Number of values written, by type and format.
    written: Mutex<Vec<(TypeId, &'static str, u64)>>,
    /// True once some value did not come back: from then on every value is checked.
    failed: AtomicBool,
    /// True once the failure is reported.
    reported: AtomicBool,
}

impl ReadBack {
    /// Returns true if the next value of this type is to be read back. `doubtful`: its type, or this value, is of a
    /// kind that may come back as another.
    pub(crate) fn is_due(&self, of: TypeId, format: &'static str, doubtful: bool) -> bool {
        if doubtful || self.failed.load(Ordering::Relaxed) {
            return true;
        }
        let mut written = self.written.lock();
        let known = written.iter().position(|(known, name, _)| (*known, *name) == (of, format));
        let at = known.unwrap_or_else(|| {
            written.push((of, format, 0));
            written.len() - 1
        });
        let number = written[at].2;
        written[at].2 = number.wrapping_add(1);
        number < FIRST || is_drawn(number)
    }

    /// Returns true on the first call only.
    pub(crate) fn report_once(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }

    /// Records that a value did not come back.
    pub(crate) fn note_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// Draws a sample that follows no period of the program's: by the first step of SplitMix64.
fn is_drawn(number: u64) -> bool {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) >> 32 & (SAMPLE - 1) == 0
}

/// Reason why a value is not stored: it would not come back as it is.
#[derive(Debug)]
enum Altered {
    Another,
    Unreadable(Error),
}

impl fmt::Display for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Altered::Another => f.write_str("it would come back as another value"),
            Altered::Unreadable(_) => f.write_str("it could not be read back"),
        }
    }
}

impl std::error::Error for Altered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Altered::Another => None,
            Altered::Unreadable(error) => Some(error),
        }
    }
}

/// Makes the error of a value that comes back as another, or not at all.
pub(crate) fn altered(type_name: &str, format: &str, unreadable: Option<Error>) -> Error {
    let text = format!("a value of type {type_name} is not stored as `{format}`");
    Error::new(ErrorKind::Codec, text).with_source(unreadable.map_or(Altered::Another, Altered::Unreadable))
}

/// Returns true if an error means that a value does not come back.
pub(crate) fn is_altered(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Altered>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_values_and_a_sample_are_read_back() {
        let back = ReadBack::default();
        let (of, due) = (TypeId::of::<u8>(), |of, format| back.is_due(of, format, false));
        assert!((0..FIRST).all(|_| due(of, "json")));
        let later = (0..16_000).filter(|_| due(of, "json")).count();
        assert!((180..320).contains(&later), "{later}");
        assert!((0..FIRST).all(|_| due(of, "msgpack") && due(TypeId::of::<u16>(), "json")));
        assert!((0..1_000).all(|_| back.is_due(of, "json", true)));
        back.note_failure();
        assert!((0..1_000).all(|_| due(of, "json")));
    }
}
