//! Implements the engine's [`Slot`] for results of one type: one instance of this code per return type, not per
//! function.

use std::any::Any;
use std::sync::Arc;

use retainit_plugin::{Bytes, CachedEntry, Contained, EntryTimes, Result, Ttl};

use super::{CallRules, RuleQuestion};
use crate::engine::flight::FlightResult;
use crate::engine::{Failure, Fault, Job, Plan, Slot, Stock, difference, no_codec};
use crate::value::{Encoded, OptionTag, ReturnOps, ReturnShape, Sealed, Storage};

/// Results of a call, as far as there are any.
#[derive(Debug)]
pub(super) struct Results<R> {
    /// The answer, or the function's result.
    pub(super) result: Option<R>,
    /// The cached result, while the function runs to verify it.
    cached: Option<R>,
}

impl<R> Results<R> {
    pub(super) const fn new(result: Option<R>) -> Results<R> {
        Results { result, cached: None }
    }

    /// Drops what a caller that has given up will not take. It never had these values, so that their panics are not
    /// its.
    pub(super) fn abandon(&mut self) {
        drop((self.result.take().map(Contained::new), self.cached.take().map(Contained::new)));
    }
}

/// Lends results to the engine for one step of a call.
pub(super) struct Typed<'a, R, P: ReturnShape<R>, S: Storage<P::Value>> {
    ops: &'a ReturnOps<R, P, S>,
    rules: CallRules<R>,
    results: &'a mut Results<R>,
    /// A value on the way out of a store.
    cached: Option<Contained<S::Stored>>,
    /// A copy of a value on the way into a store: the user's `Clone` runs before any lock of the store is held.
    copy: Option<Contained<P::Value>>,
    /// An error that is to be stored, with its bytes if the store holds bytes.
    failure: Option<(Arc<dyn Any + Send + Sync>, Option<Encoded>)>,
}

impl<'a, R, P: ReturnShape<R>, S: Storage<P::Value>> Typed<'a, R, P, S> {
    pub(super) fn new(ops: &'a ReturnOps<R, P, S>, rules: CallRules<R>, results: &'a mut Results<R>) -> Self {
        Typed { ops, rules, results, cached: None, copy: None, failure: None }
    }

    fn found(&mut self, result: Option<R>) -> bool {
        self.results.result = result;
        self.results.result.is_some()
    }

    /// Returns how long an error is stored under `err_ttl`, and takes its copy or its bytes.
    fn error_to_store(&mut self, job: &Job, keeps_errors: bool) -> Option<Ttl> {
        let (plan, result) = (&*job.plan, self.results.result.as_ref()?);
        let ttl = plan.options.err_ttl.filter(|_| keeps_errors)?;
        if !self.rules.allow(RuleQuestion::ErrIf, result) {
            return None;
        }
        let any = (self.ops.share?.share)(result);
        let encoded = match self.ops.whole.filter(|_| plan.store.serializes()) {
            Some(whole) => {
                // A serializer for values of one type, such as text, may be unable to hold a whole result.
                let format = plan.format.as_ref().filter(|format| format.takes(&(whole.types)()).is_ok());
                let refused = |error: &_| plan.failed("store", error);
                Some(plan.encode(result, whole, format, None).inspect_err(refused).ok()?)
            }
            None => None,
        };
        self.failure = Some((any, encoded));
        Some(ttl)
    }
}

impl<R, P, S> Stock for Typed<'_, R, P, S>
where
    P: ReturnShape<R>,
    S: Storage<P::Value>,
{
    fn weigh(&self) -> u64 {
        match (self.results.result.as_ref().map(P::split), self.ops.value.weigh) {
            (Some(Ok(value)), Some(weigh)) => weigh(value),
            _ => 0,
        }
    }

    fn keep(&mut self, times: EntryTimes) -> Option<CachedEntry> {
        match (self.copy.take(), self.failure.take()) {
            (Some(copy), _) => Some(CachedEntry::new(S::keep(copy.into_inner()), times)),
            (None, Some((any, _))) => Some(CachedEntry::new(Failure::Any(any), times)),
            (None, None) => None,
        }
    }

    fn encode(&mut self, plan: &Plan) -> Result<Encoded> {
        if let Some((_, encoded)) = self.failure.take() {
            return Ok(Encoded { option_tag: OptionTag::Error, ..encoded.ok_or_else(no_codec)? });
        }
        let codec = self.ops.value.codec.ok_or_else(no_codec)?;
        let copy = self.copy.take().ok_or_else(no_codec)?;
        plan.encode(&*copy, codec, plan.format.as_ref(), self.ops.value.equal)
    }
}

impl<R, P, S> Slot for Typed<'_, R, P, S>
where
    P: ReturnShape<R>,
    S: Storage<P::Value>,
{
    fn take(&mut self, cached: &CachedEntry) -> bool {
        self.cached = cached.value::<S::Stored>().cloned().map(Contained::new);
        self.cached.is_some()
    }

    fn give(&mut self) -> bool {
        let cached = self.cached.take();
        self.found(cached.map(|cached| P::wrap(S::give(cached.into_inner()))))
    }

    fn give_failure(&mut self, plan: &Plan, failure: Failure) -> bool {
        let result = match failure {
            Failure::Any(any) => self.ops.share.and_then(|share| (share.take)(any.as_ref())),
            Failure::Bytes(sealed) => self.ops.whole.and_then(|whole| {
                let read = whole.read(&sealed.by_ref(), &sealed.payload, &plan.instance.deadline());
                read.map_err(|error| plan.unread(&error.into())).ok()
            }),
        };
        self.found(result)
    }

    fn open(&mut self, plan: &Plan, sealed: &Sealed<Bytes>) -> std::result::Result<(), Fault> {
        let value = sealed.open(plan, &self.ops.value)?;
        self.results.result = Some(P::wrap(value));
        Ok(())
    }

    fn take_flight_result(&mut self, flight_result: &FlightResult) -> bool {
        let result = match flight_result {
            FlightResult::Value(any) => {
                any.downcast_ref::<Contained<S::Stored>>().map(|cached| P::wrap(S::give(S::Stored::clone(cached))))
            }
            FlightResult::Whole(any) => self.ops.share.and_then(|share| (share.take)(any.as_ref())),
            FlightResult::Unshared | FlightResult::LookAgain => None,
        };
        self.found(result)
    }

    fn flight_result(&self) -> FlightResult {
        match (self.results.result.as_ref().map(|result| (result, P::split(result))), self.ops.share) {
            (Some((_, Ok(value))), _) => FlightResult::Value(Arc::new(Contained::new(S::keep(S::copy(value))))),
            (Some((result, Err(_))), Some(share)) => FlightResult::Whole((share.share)(result)),
            _ => FlightResult::Unshared,
        }
    }

    fn to_store(&mut self, job: &Job, keeps_errors: bool) -> Option<Ttl> {
        let (result, options) = (self.results.result.as_ref()?, &job.plan.options);
        if !self.rules.allow(RuleQuestion::When, result) {
            return None;
        }
        let Ok(value) = P::split(result) else { return self.error_to_store(job, keeps_errors) };
        if self.ops.value.when.is_some_and(|when| !when(value)) {
            return None;
        }
        let ttl = match P::ttl(result) {
            Some(ttl) => ttl,
            None if (self.ops.value.is_none)(value) => options.none_ttl?,
            None => match options.ttl_of.then(|| self.rules.ttl(result)).flatten() {
                Some(computed) => computed.inspect_err(|error| job.plan.not_cached("ttl", error)).ok()?,
                None => options.ttl,
            },
        };
        self.copy = Some(Contained::new(S::copy(value)));
        Some(ttl)
    }

    fn is_value(&self) -> Option<bool> {
        self.results.result.as_ref().map(|result| P::split(result).is_ok())
    }

    fn shown(&self) -> Option<String> {
        P::split(self.results.result.as_ref()?).err().map(self.ops.shown)
    }

    fn error_type(&self) -> &'static str {
        std::any::type_name::<P::Error>()
    }

    fn has_error_bytes(&self) -> bool {
        self.ops.whole.is_some()
    }

    fn is_comparable(&self) -> bool {
        self.ops.value.equal.is_some()
    }

    fn set_aside(&mut self) {
        self.results.cached = self.results.result.take();
    }

    fn restore(&mut self) {
        self.forget();
        self.results.result = self.results.cached.take();
    }

    fn forget(&mut self) {
        drop(self.results.result.take().map(Contained::new));
    }

    fn difference(&self) -> Option<&'static str> {
        let (equal, cached) = (self.ops.value.equal?, self.results.cached.as_ref()?);
        difference(P::split(cached), self.results.result.as_ref().map(P::split), equal)
    }
}
