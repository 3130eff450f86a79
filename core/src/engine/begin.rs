//! Begins calls: looks the key up, joins a load and waits, until the call is answered or its function has to run.
//!
//! A step that waits returns [`Wait`]: sync callers wait on their thread, async ones in a boxed future. In memory the
//! only wait is for another caller's load.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use retainit_plugin::{Bytes, ErrorKind, Result, TagEpoch, WantedFence, caught};
use tokio::sync::OwnedSemaphorePermit;

use super::flight::{
    self, FlightKey, FlightResult, Follow, FollowParts, Got, LeadParts, Look, Role, Ticket, TicketFence,
};
use super::miss::{End, Miss};
use super::store::{LoadStart, Since, Unopened};
use super::verify::is_drawn;
use super::{CallerKind, Hit, How, Looked, Plan, PlanRef, ReadMode, Slot, contained};
use crate::runtime::block_on;
use crate::value::Sealed;

/// Next step of a call.
pub(crate) enum Step {
    /// The slot has the answer.
    Served,
    /// The function has to run.
    Run,
    /// The call has to wait.
    Wait(Wait),
}

/// Event that a call waits for.
pub(crate) enum Wait {
    /// The entry in the store, with the purpose of the look.
    Read(Then),
    /// Another caller's load.
    Follow(Following),
    /// A permit to run beside others whose results cannot be shared.
    Permit,
}

/// Event that a call has waited for.
pub(crate) enum Arrival {
    Read(Then, Since, Box<Result<Unopened>>),
    FlightResult(FlightResult),
    Lead(LeadParts),
    Permit(Option<OwnedSemaphorePermit>),
}

/// Purpose of a look into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Load without joining others.
    Alone,
    /// Join the load of the key, or lead one.
    Join,
    /// Load as the leader, for followers that wait already.
    Lead,
    /// Load beside others, whose results cannot be shared.
    Unshared,
    /// Take the fence that the look before has not seen, and begin the load after the answer.
    Take,
}

impl Miss {
    /// Begins the call. The cache never fails it and never delays it beyond its limits.
    pub(super) fn begin(&mut self, slot: &mut dyn Slot) -> Step {
        self.watch = self.plan().watch_hit();
        let plan = self.plan();
        if plan.bypass.is_some() || plan.instance.is_closed() {
            plan.function.count_uncached();
            self.end = End::Uncached;
            return self.running();
        }
        if plan.options.err_ttl.is_some() && plan.store.serializes() && !slot.has_error_bytes() {
            // Its errors cannot be serialized for this backend: storing each of them would fail.
            plan.function.cannot_store_errors(&plan.store.name);
            self.keeps_errors = false;
        }
        // Before any ticket is taken and any table of flights locked: most calls that come here find their answer.
        if self.job.how != How::Refresh && !self.job.looked && self.find(slot, ReadMode::Use) {
            return self.hit(slot);
        }
        let alone = self.job.how == How::Refresh || !self.plan().options.single_flight;
        self.ask(if alone { Then::Alone } else { Then::Join }, slot)
    }

    /// Continues with the event that was waited for.
    pub(super) fn go_on(&mut self, event: Arrival, slot: &mut dyn Slot) -> Step {
        match event {
            Arrival::Read(then, since, found) => self.read(then, since, *found, slot),
            Arrival::Lead(lead) => {
                // A follower took the lead over. It takes a new ticket and looks again: its old ticket is from before
                // it waited, and the lost leader may have stored a value since.
                self.part_of = Some(lead.id());
                self.lead = Some(lead);
                self.ask(Then::Lead, slot)
            }
            Arrival::Permit(permit) => {
                self.permit = permit;
                self.ask(Then::Unshared, slot)
            }
            Arrival::FlightResult(FlightResult::Unshared) => self.run_unshared(slot),
            Arrival::FlightResult(FlightResult::LookAgain) => self.ask(Then::Join, slot),
            Arrival::FlightResult(flight_result) => {
                // The copy runs the user's `Clone`, whose panic is not the caller's. A result of another type, such as
                // the error of another loader of the same cache, does not answer the call: it joins once more.
                match caught(ErrorKind::Codec, "copying the result of another's load", || {
                    slot.take_flight_result(&flight_result)
                }) {
                    Ok(true) => Step::Served,
                    Ok(false) => self.ask(Then::Join, slot),
                    Err(error) => {
                        self.plan().failed("share", &error);
                        self.run_unshared(slot)
                    }
                }
            }
        }
    }

    fn running(&mut self) -> Step {
        self.run();
        Step::Run
    }

    /// Runs after a load whose result cannot be shared. A few such callers run at the same time; one of them may bring
    /// a value for the rest.
    /// A caller inside another load takes no permit: holders of permits may be waiting for just that load.
    fn run_unshared(&mut self, slot: &mut dyn Slot) -> Step {
        if flight::LoadStack::is_empty() { Step::Wait(Wait::Permit) } else { self.ask(Then::Unshared, slot) }
    }

    /// Answers the call from the cache. A fraction of hits is verified first.
    fn hit(&mut self, slot: &mut dyn Slot) -> Step {
        let plan = self.plan();
        // Counted before it is verified: the call returns the cached value in any case.
        plan.hit(&self.job.key, self.watch.as_ref());
        if self.job.how != How::Call || !is_drawn(plan.options.verify) {
            return Step::Served;
        }
        if !slot.is_comparable() {
            plan.function.cannot_verify(&plan.store.name);
            return Step::Served;
        }
        slot.set_aside();
        self.end = End::Verify;
        self.running()
    }

    // ------------------------------------------------------------------------------------------------ asking the store

    /// Takes the ticket of a load that begins now, and looks whether it is needed at all.
    fn ask(&mut self, then: Then, slot: &mut dyn Slot) -> Step {
        if then == Then::Join {
            // Read before the store is. A load that ends between this look and the joining may have stored a value that
            // this caller did not see: as a leader it would load again. A look that costs nothing comes after joining
            // instead.
            let (flights, hash) = (self.plan().instance.flights(), self.job.key.hash());
            let before = (!self.plan().store.answers_at_once()).then(|| (flights.ended(hash), flights.begun(hash)));
            self.ended = before.map(|(ended, _)| ended);
            // Of loads that begin from here on none can bring a value that is too old for this caller.
            self.loads_begun = before.map_or(Look::AT_ONCE.begun, |(_, begun)| begun);
        }
        // Code of the value's type runs in looks too: if it calls for this key, it must not wait for this load.
        let part = self.leading();
        match self.plan().store.start_load(&self.job, self.wanted_fence(then)) {
            LoadStart::Ticket { ticket, unreachable } => {
                (self.ticket, self.unreachable) = (ticket, unreachable);
                // After the ticket: a load that ends in between is found, and need not run again. A caller that is
                // going to join looks when it leads.
                let looks = then != Then::Join && self.job.how != How::Refresh;
                let served = looks && self.find(slot, ReadMode::Use);
                self.answered(then, served, slot)
            }
            LoadStart::Looked(since, found) => {
                drop(part);
                self.read(then, since, found, slot)
            }
            LoadStart::Later => Step::Wait(Wait::Read(then)),
        }
    }

    /// Returns the fence that a look wants. A hit writes nothing, so that only the leader of a load takes one; a refresh
    /// leads in any case.
    fn wanted_fence(&self, then: Then) -> WantedFence {
        match then == Then::Take || self.job.how == How::Refresh {
            true => WantedFence::Take(self.job.lease()),
            false => WantedFence::Seen,
        }
    }

    /// Returns whether the look has not brought what a load needs: a fence, and versions of all groups.
    fn has_to_take(&self) -> bool {
        !self.unreachable && self.plan().store.has_to_take(&self.ticket)
    }

    fn read(&mut self, then: Then, since: Since, found: Result<Unopened>, slot: &mut dyn Slot) -> Step {
        let plan = self.job.plan.clone();
        let Since { epoch, removals } = since;
        let mut served = false;
        // A failed read has no fence and no versions, so that a result could not be stored safely: the call runs and
        // stores nothing.
        self.unreachable = found.is_err();
        self.ticket = match found {
            Ok(mut found) => {
                let (fence, versions) = (found.fence.take(), std::mem::take(&mut found.versions));
                let looked = found.looked(&plan);
                if self.job.how != How::Refresh {
                    let _part = self.leading();
                    served = self.open(looked, slot);
                }
                // A fence shows removals of this very key. The count is of the whole store, and would refuse loads for
                // removals of other keys.
                let removals = if fence.is_some() { 0 } else { removals };
                Ticket { epoch, fence: fence.map(TicketFence::from), versions: versions.into_boxed_slice(), removals }
            }
            Err(error) => {
                plan.not_cached("read", &error);
                Ticket { epoch, fence: None, versions: Box::default(), removals }
            }
        };
        self.answered(then, served, slot)
    }

    /// Makes a result of the entry in the store, if the store answers at once.
    pub(super) fn find(&self, slot: &mut dyn Slot, mode: ReadMode) -> bool {
        self.plan().store.find(&self.job, mode, slot)
    }

    /// Makes a result of an entry that was waited for.
    pub(super) fn open(&self, looked: Looked<Sealed<Bytes>>, slot: &mut dyn Slot) -> bool {
        let plan = self.plan();
        let open = || match looked {
            Looked::Miss | Looked::Unserved(..) => None,
            Looked::Hit(Hit::Value(sealed, _)) => slot.open(plan, &sealed).map_err(|fault| plan.unread(&fault)).ok(),
            Looked::Hit(Hit::Failure(failure, _)) => slot.give_failure(plan, failure).then_some(()),
        };
        contained(plan, open).is_some()
    }

    // ------------------------------------------------------------------------------------------------------- and then

    fn answered(&mut self, then: Then, served: bool, slot: &mut dyn Slot) -> Step {
        match then {
            Then::Alone | Then::Join if served => self.hit(slot),
            Then::Alone => {
                // A refresh looks up no entry, so that it counts as no miss.
                if self.job.how != How::Refresh {
                    self.plan().missed(&self.job.key);
                }
                self.load(slot)
            }
            Then::Join => self.join(slot),
            Then::Lead if served => self.led(true, slot),
            Then::Lead if self.has_to_take() => self.ask(Then::Take, slot),
            Then::Take if served => self.led(true, slot),
            Then::Lead | Then::Take => {
                // The load begins now: callers that come after an invalidation that this look has seen may follow.
                if let Some(lead) = &self.lead {
                    lead.renew(self.plan().instance.flights(), &self.ticket);
                }
                self.running()
            }
            Then::Unshared if served => Step::Served,
            Then::Unshared => {
                // Nobody can join this load, but calls inside it have to know that they are inside a load: else they
                // could wait for the permit that this caller holds.
                self.part_of = Some(flight::Id::new());
                self.load(slot)
            }
        }
    }

    /// Lets the function run, once there is a fence to store its result on.
    fn load(&mut self, slot: &mut dyn Slot) -> Step {
        if self.has_to_take() { self.ask(Then::Take, slot) } else { self.running() }
    }

    fn join(&mut self, slot: &mut dyn Slot) -> Step {
        let lead = {
            // Borrowed and not cloned: the plan of a cache is counted, and each step would count it up and down.
            let plan = &*self.job.plan;
            let flights = plan.instance.flights();
            let key = FlightKey {
                hash: self.job.key.hash(),
                plan: plan_and_tags(plan, &self.job.tags),
                key: self.job.key.bytes(),
            };
            let limits = flight::LoadLimits {
                watched: self.job.caller_kind == CallerKind::Async,
                max_load_time: plan.options.max_load_time,
                abandoned: &plan.function.abandoned,
                timers: plan.instance.timers(),
            };
            let ticket = &self.ticket;
            let look = Look { begun: self.loads_begun, takes: self.has_to_take() };
            // An empty slot shows nothing about removals since the load began that fills it.
            let is_absent = !self.unreachable && plan.store.lacks_fence(ticket);
            // Fences and versions show removals in the store; epochs show invalidations in this process, of the caller's
            // own tags. Either one makes a load too old for this caller.
            let role = flights.join(key, ticket, look, &limits, |theirs| {
                !is_absent && theirs.agrees(ticket) && plan.valid_since(theirs.epoch, &self.job.tags)
            });
            // A caller joins again if a result did not fit. It is one call and counts as one miss.
            if !std::mem::replace(&mut self.missed, true) {
                plan.missed(&self.job.key);
            }
            match role {
                Role::Lead(lead) => Some(lead.into_parts()),
                Role::Follow(follow) => return Step::Wait(Wait::Follow(Following::new(self.job.plan.clone(), follow))),
                Role::Inline => None,
            }
        };
        let Some(lead) = lead else {
            self.end = End::Inline;
            return self.running();
        };
        self.part_of = Some(lead.id());
        self.lead = Some(lead);
        // Another's load may have ended since this caller looked, and nobody would join that any more: without a second
        // look the function would run twice for one miss. This caller's ticket is older than what such a load has
        // stored, so that it is valid for what is found.
        match self.ended {
            None => {
                let served = !self.job.is_still_absent() && self.find(slot, ReadMode::Use);
                self.led(served, slot)
            }
            // This look comes after joining.
            Some(_) if self.has_to_take() => self.ask(Then::Take, slot),
            Some(ended) if self.plan().instance.flights().ended(self.job.key.hash()) == ended => self.led(false, slot),
            Some(_) => self.ask(Then::Lead, slot),
        }
    }

    /// Serves a leader and its followers what it found at its second look, or lets its function run.
    fn led(&mut self, served: bool, slot: &mut dyn Slot) -> Step {
        if served {
            // While the load has not begun whoever comes follows it, also after a removal of what this look has found.
            let flights = self.plan().instance.flights();
            match self.lead.as_ref().is_none_or(|lead| lead.has_begun(flights)) {
                true => self.complete(slot),
                false => self.complete_with(|_| FlightResult::LookAgain),
            }
            return Step::Served;
        }
        self.running()
    }

    // -------------------------------------------------------------------------------------------------------- waiting

    /// Begins a sync call and waits on its thread. Returns true if the slot has the answer.
    pub(crate) fn begin_sync(&mut self, slot: &mut dyn Slot) -> bool {
        let mut next = self.begin(slot);
        loop {
            match next {
                Step::Served => return true,
                Step::Run => return false,
                Step::Wait(wait) => next = self.waited(wait, slot),
            }
        }
    }

    #[cold]
    fn waited(&mut self, wait: Wait, slot: &mut dyn Slot) -> Step {
        let event = block_on(self.wait(wait));
        self.go_on(event, slot)
    }

    /// Waits for an event. A leader's waits are polled under its watch: a starving leader is noticed there too.
    pub(super) async fn wait(&self, wait: Wait) -> Arrival {
        match wait {
            Wait::Follow(following) => following.await,
            Wait::Permit => {
                Arrival::Permit(Arc::clone(&self.plan().function.unshared_limit).acquire_owned().await.ok())
            }
            Wait::Read(then) => {
                // Before the look: a removal meanwhile makes the ticket too old, which costs a load, never too new.
                let since = self.plan().store.since(self.plan());
                let look = self.plan().store.look(&self.job, self.wanted_fence(then));
                let found = match &self.lead {
                    Some(lead) => lead.run(look).await,
                    None => look.await,
                };
                Arrival::Read(then, since, Box::new(found))
            }
        }
    }
}

/// Combines plan and tags. Tags may depend on arguments outside the key: an invalidation of one of them may end a load
/// of the same key that has others.
fn plan_and_tags(plan: &Plan, tags: &[Arc<TagEpoch>]) -> u64 {
    let mix =
        |all: u64, tag: &Arc<TagEpoch>| (all ^ Arc::as_ptr(tag).addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    tags.iter().fold(plan.fingerprint, mix)
}

/// Future of a call that follows another caller's load. It owns its plan.
pub(crate) struct Following {
    plan: PlanRef,
    parts: Option<FollowParts>,
}

impl Following {
    fn new(plan: PlanRef, follow: Follow<'_>) -> Following {
        Following { parts: Some(follow.into_parts()), plan }
    }

    /// Puts the follower together for one use, and takes it apart again if it goes on waiting.
    fn with<T>(&mut self, use_it: impl FnOnce(Follow<'_>) -> (T, Option<FollowParts>)) -> Option<T> {
        let Following { plan, parts } = self;
        let follow = Follow::from_parts(parts.take()?, plan.instance.flights(), &plan.function.abandoned);
        let (out, rest) = use_it(follow);
        *parts = rest;
        Some(out)
    }
}

impl Future for Following {
    type Output = Arrival;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arrival> {
        let polled = self.with(|mut follow| match Pin::new(&mut follow).poll(cx) {
            Poll::Pending => (Poll::Pending, Some(follow.into_parts())),
            Poll::Ready(Got::FlightResult(flight_result)) => (Poll::Ready(Arrival::FlightResult(flight_result)), None),
            Poll::Ready(Got::Lead(lead)) => (Poll::Ready(Arrival::Lead(lead.into_parts())), None),
        });
        polled.unwrap_or(Poll::Pending)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.with(|follow| (drop(follow), None));
    }
}
