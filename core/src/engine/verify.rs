//! Verifies hits: on a fraction of them the function runs too, and its result is compared with the cached one.

use std::cell::Cell;

use retainit_plugin::ErrorKind;

use retainit_plugin as plugin;

/// Describes how the result of a verifying run differs from the cached one, if it does. `fresh` is `None` for a run
/// that panicked. Two errors count as equal, since errors need not be comparable.
pub(crate) fn difference<V, E>(
    cached: Result<&V, &E>,
    fresh: Option<Result<&V, &E>>,
    equal: fn(&V, &V) -> bool,
) -> Option<&'static str> {
    match (cached, fresh) {
        (_, None) => Some("the function panicked"),
        (Ok(_), Some(Err(_))) => Some("the function returned an error"),
        (Err(_), Some(Ok(_))) => Some("the function returned a value, and an error is stored"),
        (Err(_), Some(Err(_))) => None,
        (Ok(cached), Some(Ok(fresh))) => match plugin::caught(ErrorKind::Codec, "comparing", || equal(cached, fresh)) {
            Ok(true) => None,
            Ok(false) => Some("the function returned another value"),
            Err(_) => Some("the comparison panicked"),
        },
    }
}

thread_local! {
    /// True while this thread runs a function to verify a hit. Hits inside are not verified in turn: with every hit of
    /// a recursive function verified, the work would double at each level.
    static VERIFYING: Cell<bool> = const { Cell::new(false) };
}

/// Makes everything that this thread runs a part of a verifying run, until dropped.
#[derive(Debug)]
pub(crate) struct Verifying(bool);

impl Verifying {
    pub(crate) fn enter() -> Verifying {
        Verifying(VERIFYING.try_with(|here| here.replace(true)).unwrap_or(false))
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        // A thread whose locals are destroyed verifies nothing, see `is_verifying`.
        VERIFYING.try_with(|here| here.set(self.0)).ok();
    }
}

/// Returns true if this thread runs a function to verify a hit.
pub(crate) fn is_verifying() -> bool {
    VERIFYING.try_with(Cell::get).unwrap_or(true)
}

pub(super) fn is_drawn(fraction: f64) -> bool {
    fraction > 0.0 && !is_verifying() && fastrand::f64() < fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_met() {
        let drawn = |fraction| (0..100_000).filter(|_| is_drawn(fraction)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 100_000));
        // The bounds are more than ten standard deviations to either side.
        assert!((600..1_400).contains(&drawn(0.01)) && (48_000..52_000).contains(&drawn(0.5)));
    }

    #[test]
    fn nothing_is_verified_inside_a_verifying_run() {
        crate::runtime::block_on(async {
            assert!(is_drawn(1.0));
            assert!(!crate::runtime::Inside::new(async { is_drawn(1.0) }, Verifying::enter).await);
            assert!(is_drawn(1.0));
        });
    }
}
