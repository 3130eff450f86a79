use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, ErrorKind, Result};

/// Runs code that somebody else wrote, so that its panic ends here: as an error that names what has panicked, with the
/// text of the panic.
///
/// ```
/// # mod retainit { pub use retainit_plugin as plugin; }
/// use retainit::plugin::{ErrorKind, caught};
///
/// let error = caught(ErrorKind::Codec, "writing the value", || -> u8 { panic!("no room") }).unwrap_err();
/// assert_eq!(error.to_string(), "writing the value has panicked: no room");
/// ```
///
/// What is built with `panic = "abort"` ends with the process all the same.
///
/// # Errors
///
/// An error of `kind`, if the code has panicked.
#[inline]
pub fn caught<T>(kind: ErrorKind, what: &'static str, run: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panicked(kind, what, panic))
}

/// Makes the error of a panic that was caught.
#[doc(hidden)]
#[cold]
pub fn panicked(kind: ErrorKind, what: &str, panic: Box<dyn Any + Send>) -> Error {
    Error::new(kind, format!("{what} has panicked: {}", text(panic)))
}

/// Returns the text of a panic.
fn text(panic: Box<dyn Any + Send>) -> String {
    let panic = match panic.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    match panic.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(other) => {
            // A value of any type may be thrown, and may panic in turn when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(other))) {
                std::mem::forget(again);
            }
            "with a value that is no text".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thrown;

    impl Drop for Thrown {
        fn drop(&mut self) {
            std::panic::panic_any(Thrown);
        }
    }

    #[test]
    fn whatever_is_thrown_ends_here() {
        let message = |run: fn()| caught(ErrorKind::Key, "it", run).expect_err("it has panicked").to_string();
        assert_eq!(message(|| panic!("number {}", 5)), "it has panicked: number 5");
        assert_eq!(message(|| std::panic::panic_any(5)), "it has panicked: with a value that is no text");
        assert_eq!(message(|| std::panic::panic_any(Thrown)), "it has panicked: with a value that is no text");
        assert_eq!(caught(ErrorKind::Key, "it", || 7).expect("it has not"), 7);
    }
}
