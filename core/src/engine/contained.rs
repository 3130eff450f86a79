use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use retainit_plugin::ErrorKind;

use super::{Plan, PlanRef};

/// Looks for a hit. A panic of user code or of a backend in that is reported and counts as a miss.
#[inline(always)]
pub(crate) fn contained<V>(plan: &Plan, look: impl FnOnce() -> Option<V>) -> Option<V> {
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|panic| panicked(plan, panic))
}

/// Looks for a hit as [`contained`] does, where nothing keeps the plan meanwhile.
#[inline(always)]
pub(crate) fn contained_by<V>(plan: impl FnOnce() -> PlanRef, look: impl FnOnce() -> Option<V>) -> Option<V> {
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|panic| panicked(&plan(), panic))
}

#[cold]
#[inline(never)]
fn panicked<V>(plan: &Plan, panic: Box<dyn Any + Send>) -> Option<V> {
    let error = retainit_plugin::panicked(ErrorKind::Backend, "looking for the answer", panic);
    plan.function.not_cached("read", &plan.store.name, &error);
    None
}
