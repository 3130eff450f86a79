//! Closures of an attribute that decide what is stored, and for how long.

use std::any::Any;

use retainit_plugin::{IntoTtl, Result, Ttl};

use crate::value::{ReturnOps, ReturnShape};

/// Question that a closure of the attribute answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleQuestion {
    /// Asks whether a result is stored: `when`.
    When,
    /// Asks whether an error is stored: `err_if`.
    ErrIf,
    /// Asks for how long a value is stored: `ttl`.
    Ttl,
}

/// Answer of a closure of the attribute.
#[derive(Debug)]
pub enum RuleAnswer {
    /// The attribute has no such closure.
    Unset,
    /// Answer of a predicate.
    Is(bool),
    /// Ttl of a value.
    Ttl(Result<Ttl>),
}

/// Closures of a function's attribute behind one pointer, which is all that a function without them passes.
pub struct CallRules<R>(Option<fn(&R, RuleQuestion) -> RuleAnswer>);

impl<R> CallRules<R> {
    /// No closures: every result is stored, for as long as the options say.
    pub const NONE: CallRules<R> = CallRules(None);

    /// Makes rules of a function that answers by the closures.
    pub const fn new(answer: fn(&R, RuleQuestion) -> RuleAnswer) -> CallRules<R> {
        CallRules(Some(answer))
    }

    /// Returns true unless a predicate is false for this result.
    pub(super) fn allow(self, question: RuleQuestion, result: &R) -> bool {
        self.0.is_none_or(|answer| !matches!(answer(result, question), RuleAnswer::Is(false)))
    }

    /// Returns the ttl of a value, if the attribute computes it.
    pub(super) fn ttl(self, result: &R) -> Option<Result<Ttl>> {
        match self.0?(result, RuleQuestion::Ttl) {
            RuleAnswer::Ttl(ttl) => Some(ttl),
            RuleAnswer::Unset | RuleAnswer::Is(_) => None,
        }
    }
}

impl<R> Clone for CallRules<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for CallRules<R> {}

impl<R> std::fmt::Debug for CallRules<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallRules").field("closures", &self.0.is_some()).finish()
    }
}

/// Gives a closure over the result its type.
pub fn when<R>(rule: fn(&R) -> bool) -> fn(&R) -> bool {
    rule
}

/// Applies a predicate to the error in a result; false for a value.
pub fn error_is<R, P: ReturnShape<R>, S>(_: &ReturnOps<R, P, S>, result: &R, rule: fn(&P::Error) -> bool) -> bool {
    P::split(result).err().is_some_and(rule)
}

/// Computes the ttl of the value in a result.
pub fn ttl_of<R, P: ReturnShape<R>, S, T: IntoTtl>(
    _: &ReturnOps<R, P, S>,
    result: &R,
    rule: fn(&P::Value) -> T,
) -> RuleAnswer {
    P::split(result).map_or(RuleAnswer::Unset, |value| RuleAnswer::Ttl(rule(value).into_ttl()))
}

/// Computes the ttl of a value that another function returned, for `#[retain_put]`.
pub fn ttl_of_any<R, P: ReturnShape<R>, S>(
    _: &ReturnOps<R, P, S>,
    rules: CallRules<R>,
    value: &dyn Any,
) -> Option<Result<Ttl>>
where
    P::Value: Clone + 'static,
{
    // The rules see whole results, so that a function has one table of them.
    let value = value.downcast_ref::<P::Value>()?;
    rules.ttl(&P::wrap(value.clone()))
}
