//! Holds the state of a call that the hit path did not answer. It is begun, then finished, and the user's function runs
//! between the two.

use std::time::Duration;

use retainit_plugin::{ErrorKind, EventKind, EventParts, caught};
use tokio::sync::OwnedSemaphorePermit;

use super::flight::{FlightResult, Id, Lead, LeadParts, LoadStack, Ticket};
use super::{CallerKind, Job, Plan, Slot};
use crate::runtime::Stopwatch;

/// State of a call that the hit path did not answer. It is on the heap, so that the stack below the user's function
/// holds only a pointer to it and deep recursions fit.
///
/// Dropped before it is finished, it reports the end of the run and passes its lead on.
pub(crate) struct Miss {
    pub(super) job: Job,
    pub(super) ticket: Ticket,
    /// True if the store could not be reached: the result of the load is not stored.
    pub(super) unreachable: bool,
    /// Number of loads that had ended in the key's shard before the look into the store; `None` where the look comes after
    /// joining.
    pub(super) ended: Option<u64>,
    /// Number of the last load that had begun in the key's shard by then.
    pub(super) loads_begun: u64,
    pub(super) lead: Option<LeadParts>,
    /// Load that the user's function is a part of.
    pub(super) part_of: Option<Id>,
    /// True while a sync call has that load on this thread's load stack.
    on_stack: bool,
    /// Permit to run beside others whose results cannot be shared.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Time since the call began to look, if hits have a subscriber.
    pub(super) watch: Option<Stopwatch>,
    /// Time since the function began.
    begun: Option<Stopwatch>,
    reporting: Reporting,
    pub(super) end: End,
    pub(super) missed: bool,
    pub(super) keeps_errors: bool,
}

/// Use of the function's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Store it, if it may be stored.
    Store,
    /// Only return it: the call runs inline, because waiting would have closed a cycle of loads.
    Inline,
    /// Only return it: the call runs without the cache.
    Uncached,
    /// Compare it with the cached result.
    Verify,
}

/// State of the function's run as far as events report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reporting {
    /// There was no subscriber when the run began, or the run is over.
    Off,
    /// The function is running. A call that is dropped in this state has panicked.
    Running,
    /// The function is between two polls. A call that is dropped in this state was cancelled.
    Paused,
}

impl std::fmt::Debug for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Miss").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Miss {
    pub(super) fn new(job: Job) -> Miss {
        Miss {
            job,
            ticket: Ticket { epoch: 0, fence: None, versions: Box::default(), removals: 0 },
            unreachable: false,
            ended: None,
            loads_begun: 0,
            lead: None,
            part_of: None,
            on_stack: false,
            permit: None,
            watch: None,
            begun: None,
            reporting: Reporting::Off,
            end: End::Store,
            missed: false,
            keeps_errors: true,
        }
    }

    pub(crate) fn job_mut(&mut self) -> &mut Job {
        &mut self.job
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.job.plan
    }

    pub(crate) fn verifies(&self) -> bool {
        self.end == End::Verify
    }

    // ------------------------------------------------------------------------------------------- the function itself

    /// Notes that the user's function begins to run.
    pub(super) fn run(&mut self) {
        const KINDS: u32 = 1 << EventKind::FunctionCallStart as u32
            | 1 << EventKind::FunctionCallEnd as u32
            | 1 << EventKind::FunctionError as u32;
        if self.plan().function.bus.is_subscribed_to_any(KINDS) {
            self.plan().emit(EventKind::FunctionCallStart, Some(&self.job.key), |_| {});
            self.reporting = Reporting::Running;
        }
        // A sync function runs after this returns, so that no value on the stack can keep its load on the load stack.
        if self.job.caller_kind == CallerKind::Blocking
            && let Some(id) = self.part_of
        {
            LoadStack::stay(id);
            self.on_stack = true;
        }
        self.begun = Some(Stopwatch::start());
    }

    /// Makes one poll of an async function, or its drop, a part of its load.
    pub(super) fn enter(&mut self) -> LoadStack {
        if self.reporting == Reporting::Paused {
            self.reporting = Reporting::Running;
        }
        LoadStack::enter(self.part_of.as_slice())
    }

    /// Notes that a poll has ended without a result.
    pub(super) fn pause(&mut self) {
        if self.reporting == Reporting::Running {
            self.reporting = Reporting::Paused;
        }
    }

    /// Makes further work of a leader a part of its load, unless the load is on the load stack already.
    pub(super) fn leading(&self) -> Option<LoadStack> {
        self.lead.as_ref().filter(|_| !self.on_stack).map(|lead| LoadStack::enter(&[lead.id()]))
    }

    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.on_stack) {
            LoadStack::leave();
        }
    }

    /// Notes that the function has returned, or panicked in a verifying run. Returns how long it ran.
    pub(super) fn ran(&mut self, slot: &dyn Slot) -> Duration {
        let time = self.begun.take().map(|begun| begun.elapsed()).unwrap_or_default();
        if std::mem::replace(&mut self.reporting, Reporting::Off) != Reporting::Off {
            self.report_end(time, slot);
        }
        time
    }

    #[cold]
    fn report_end(&self, time: Duration, slot: &dyn Slot) {
        match slot.is_value() {
            Some(true) => self.report(EventKind::FunctionCallEnd, time, || None),
            None => self.report(EventKind::FunctionError, time, || Some("panicked".into())),
            Some(false) if self.plan().function.pii => {
                self.report(EventKind::FunctionError, time, || Some(slot.error_type().into()));
            }
            Some(false) => self.report(EventKind::FunctionError, time, || {
                // A panic in the error's `Display` must not become the call's.
                let shown = caught(ErrorKind::Codec, "showing an error", || slot.shown());
                Some(shown.ok().flatten().unwrap_or_else(|| slot.error_type().to_owned()).into())
            }),
        }
    }

    #[cold]
    fn report(&self, kind: EventKind, time: Duration, error: impl FnOnce() -> Option<Box<str>>) {
        self.plan().emit(kind, Some(&self.job.key), |parts: &mut EventParts| {
            parts.duration = Some(time);
            parts.error = error();
        });
    }

    /// Reports a run that ends without a result, by a panic or a cancellation.
    pub(super) fn report_abandoned(&mut self) {
        let (kind, why) = match std::mem::replace(&mut self.reporting, Reporting::Off) {
            Reporting::Off => return,
            Reporting::Running => (EventKind::FunctionError, "panicked"),
            Reporting::Paused => (EventKind::FunctionCallEnd, "cancelled"),
        };
        let time = self.begun.as_ref().map(Stopwatch::elapsed).unwrap_or_default();
        self.report(kind, time, || Some(why.into()));
    }

    // ------------------------------------------------------------------------------------------------ those who wait

    /// Takes the lead, with its table.
    pub(super) fn take_lead(&mut self) -> Option<Lead<'_>> {
        let parts = self.lead.take()?;
        let plan = &*self.job.plan;
        Some(Lead::from_parts(parts, plan.instance.flights(), &plan.function.abandoned))
    }

    /// Ends the load. Its result is copied if there are followers.
    pub(super) fn complete(&mut self, slot: &dyn Slot) {
        self.complete_with(|plan| {
            let flight_result =
                caught(ErrorKind::Codec, "copying a result for those who wait", || slot.flight_result());
            flight_result.unwrap_or_else(|error| {
                plan.failed("share", &error);
                FlightResult::Unshared
            })
        });
    }

    /// Ends the load. `flight_result` is called if there are followers.
    pub(super) fn complete_with(&mut self, flight_result: impl FnOnce(&Plan) -> FlightResult) {
        // From here on this thread is not part of the load. Code of the value's type that runs below may call for the
        // key again: the load has left the table by then, so that it waits for nobody.
        self.leave();
        let Some(parts) = self.lead.take() else { return };
        let plan = &*self.job.plan;
        let lead = Lead::from_parts(parts, plan.instance.flights(), &plan.function.abandoned);
        lead.complete(|| flight_result(plan));
    }
}

impl Drop for Miss {
    fn drop(&mut self) {
        // Reported before the lead passes on, so that the events of the next leader come after this one's.
        self.report_abandoned();
        self.leave();
        drop(self.take_lead());
    }
}
