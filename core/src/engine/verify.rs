//! `verify`: on some hits the function runs too, and what it returns is compared with what the cache has.

use std::cell::Cell;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};

use retainit_plugin::{self as plugin, Contained, EventKind, StoredValue};

use super::load::Run;
use super::{Kind, Look};
use crate::rt::{Shape, Storage};
use crate::runtime::{Inside, caught, quietly};
use crate::{Error, ErrorKind};

impl<R, P, S> Run<'_, R, P, S>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    /// Runs the function beside a hit. Nothing that happens here changes the answer.
    pub(super) async fn verify<L: Future<Output = R>>(&self, cached: &R, loader: L) {
        let function = &self.job.plan.function;
        let Some(equal) = self.facts.value.equal else {
            function.cannot_verify(&self.job.plan.store.name);
            return;
        };
        let fresh = caught("the function", Inside::new(loader, Verifying::enter)).await.map(Contained::new);
        function.count_verified();
        if let Some(difference) = difference(P::split(cached), fresh.as_deref().map(P::split), equal)
            && self.is_still_there(P::split(cached), equal).await
        {
            self.mismatched(difference);
        }
    }

    fn mismatched(&self, difference: &'static str) {
        let plan = &*self.job.plan;
        let (function, backend) = (&plan.function, &*plan.store.name);
        function.count_mismatch();
        if !function.bus.writes_log() {
            quietly(|| {
                tracing::warn!(target: "retainit", function = %function.id, backend, difference, "verify_mismatch");
            });
        }
        plan.emit(EventKind::VerifyMismatch, Some(&self.job.key), |parts| parts.error = Some(difference.into()));
    }

    /// Whether the answer is still what the cache would give. If not, it was removed or replaced, or has expired,
    /// while the function ran, which is no mismatch. A value that does not equal itself, such as NaN, is never one.
    async fn is_still_there(
        &self,
        cached: std::result::Result<&P::Value, &P::Error>,
        equal: fn(&P::Value, &P::Value) -> bool,
    ) -> bool {
        let now = match &self.job.plan.store.kind {
            Kind::Object(object) => self.find(object.as_ref(), Look::Peek),
            Kind::Bytes(store) => {
                self.look_bytes(store, None).await.ok().and_then(|found| self.serve_bytes(found.looked))
            }
        };
        now.map(Contained::new).is_some_and(|now| difference(cached, Ok(P::split(&now)), equal).is_none())
    }
}

/// What to say of a run that brought something else than the cache has. Errors count as equal: they need not compare.
fn difference<V, E>(
    cached: std::result::Result<&V, &E>,
    fresh: std::result::Result<std::result::Result<&V, &E>, &Error>,
    equal: fn(&V, &V) -> bool,
) -> Option<&'static str> {
    match (cached, fresh) {
        (_, Err(_)) => Some("the function panicked"),
        (Ok(_), Ok(Err(_))) => Some("the function returned an error"),
        (Err(_), Ok(Ok(_))) => Some("the function returned a value, and an error is stored"),
        (Err(_), Ok(Err(_))) => None,
        (Ok(cached), Ok(Ok(fresh))) => match plugin::caught(ErrorKind::Codec, "comparing", || equal(cached, fresh)) {
            Ok(true) => None,
            Ok(false) => Some("the function returned another value"),
            Err(_) => Some("the comparison panicked"),
        },
    }
}

thread_local! {
    /// The state of this thread's generator, zero before its first number.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
    /// Whether this thread runs a function to verify a hit. Hits in there are not verified in turn: with every hit of
    /// a recursive function, the work would double at each level.
    static VERIFYING: Cell<bool> = const { Cell::new(false) };
}

/// Marks what this thread runs as a run to verify a hit, until dropped.
#[derive(Debug)]
pub(crate) struct Verifying(bool);

impl Verifying {
    pub(crate) fn enter() -> Verifying {
        Verifying(VERIFYING.try_with(|here| here.replace(true)).unwrap_or(false))
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        // A thread that has lost the mark verifies nothing.
        VERIFYING.try_with(|here| here.set(self.0)).ok();
    }
}

/// Whether what this thread runs is a run to verify a hit.
pub(crate) fn is_verifying() -> bool {
    VERIFYING.try_with(Cell::get).unwrap_or(true)
}

pub(super) fn is_drawn(fraction: f64) -> bool {
    fraction > 0.0 && !is_verifying() && uniform() < fraction
}

/// A number from 0 up to, but not including 1, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn uniform() -> f64 {
    let next = |drawn: &Cell<u64>| {
        let state = match drawn.get() {
            0 => RandomState::new().hash_one(0u8),
            state => state.wrapping_add(0x9e37_79b9_7f4a_7c15),
        };
        drawn.set(state);
        state
    };
    let state = DRAWN.try_with(next).unwrap_or_default();
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = (mixed ^ (mixed >> 31)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_met() {
        let drawn = |fraction| (0..100_000).filter(|_| is_drawn(fraction)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 100_000));
        // Over ten standard deviations to either side.
        assert!((600..1_400).contains(&drawn(0.01)) && (48_000..52_000).contains(&drawn(0.5)));
    }

    #[test]
    fn nothing_is_verified_inside_a_verifying_run() {
        crate::runtime::block_on(async {
            assert!(is_drawn(1.0));
            assert!(!Inside::new(async { is_drawn(1.0) }, Verifying::enter).await);
            assert!(is_drawn(1.0));
        });
    }
}
