//! Finishes calls whose function has run: counts, stores and shares the result.

use std::time::Duration;

use retainit_plugin::{ErrorKind, Result, Ttl, WantedFence, caught};

use super::miss::{End, Miss};
use super::store::{Draft, Unopened};
use super::write::{Mode, Prepared, Write};
use super::{How, Outcome, ReadMode, Slot, invalidate};
use crate::runtime::block_on;

/// Remaining work of a call that does not need the result itself, so that nothing of the user's is held meanwhile.
pub(crate) enum Rest {
    Done(Outcome),
    /// Sends bytes to their store. The flag is true for a value, false for an error.
    Send(Draft, bool),
    /// Removes the entry after a refresh whose value is not stored: an older one must not stay.
    Remove(Outcome),
    /// Looks again after the verifying run brought another result, which is a mismatch only if the entry is still
    /// there.
    LookAgain(&'static str),
}

/// Outcome of the remaining work.
pub(crate) enum After {
    Outcome(Outcome),
    Looked(&'static str, Box<Result<Unopened>>),
}

impl Miss {
    /// Finishes a sync call.
    pub(crate) fn finish_sync(&mut self, slot: &mut dyn Slot) -> Outcome {
        let after = match self.finish(slot) {
            Rest::Done(outcome) => After::Outcome(outcome),
            rest => block_on(self.rest(rest)),
        };
        self.over(after, slot)
    }

    /// Does all work that needs the result, and returns the rest.
    pub(super) fn finish(&mut self, slot: &mut dyn Slot) -> Rest {
        let time = self.ran(slot);
        match self.end {
            End::Uncached => Rest::Done(Outcome::Failed),
            End::Inline => {
                self.plan().function.loaded(time);
                Rest::Done(Outcome::Failed)
            }
            End::Verify => self.compare(slot),
            End::Store => {
                // A leader stays on the load stack until it has stored: user code that runs in that, such as
                // a `Clone` that calls the same function, must not wait for this load. Without a lead nobody waits for
                // it.
                if self.lead.is_none() {
                    self.leave();
                }
                let _part = self.leading();
                self.store(slot, time)
            }
        }
    }

    /// Does the remaining work. A leader is watched in that too: followers wait until it has stored.
    pub(super) async fn rest(&self, rest: Rest) -> After {
        match &self.lead {
            Some(lead) => lead.run(self.rest_alone(rest)).await,
            None => self.rest_alone(rest).await,
        }
    }

    async fn rest_alone(&self, rest: Rest) -> After {
        let rest = match rest {
            Rest::Send(draft, is_value) => {
                // The draft holds the times of the entry; ttl and load time are not read here.
                let sent = self.write(Ttl::Never, Duration::ZERO).send(draft).await;
                self.stored(sent, is_value)
            }
            Rest::LookAgain(difference) => {
                return After::Looked(difference, Box::new(self.plan().store.look(&self.job, WantedFence::None).await));
            }
            rest => rest,
        };
        match rest {
            Rest::Remove(outcome) => {
                if let Err(error) = Box::pin(invalidate::remove(self.plan(), &self.job.key, self.job.caller())).await {
                    self.plan().function.failed("remove", &self.plan().store.name, &error);
                }
                After::Outcome(outcome)
            }
            Rest::Done(outcome) => After::Outcome(outcome),
            Rest::Send(..) | Rest::LookAgain(_) => After::Outcome(Outcome::Failed),
        }
    }

    /// Ends the call, and hands the result of its load to followers.
    pub(super) fn over(&mut self, after: After, slot: &mut dyn Slot) -> Outcome {
        let outcome = match after {
            After::Outcome(outcome) => outcome,
            After::Looked(difference, found) => {
                slot.forget();
                let found = found.ok().is_some_and(|found| {
                    let looked = found.looked(self.plan());
                    self.open(looked, slot)
                });
                self.compare_again(found, difference, slot)
            }
        };
        self.complete(slot);
        outcome
    }

    // -------------------------------------------------------------------------------------------------------- storing

    /// Counts a load, and stores its result if that is to be stored.
    fn store(&self, slot: &mut dyn Slot, time: Duration) -> Rest {
        let (plan, is_value) = (self.plan(), slot.is_value() == Some(true));
        plan.function.loaded(time);
        if self.unreachable {
            plan.function.count_uncached();
        }
        // Predicates and `Clone` are the user's: a panic in them leaves the caller its result, uncached.
        let ttl = || slot.to_store(&self.job, self.keeps_errors);
        let ttl = caught(ErrorKind::Codec, "deciding what to store", ttl);
        let ttl = ttl.inspect_err(|error| plan.not_cached("store", error)).ok().flatten();
        let Some(ttl) = ttl.filter(|ttl| *ttl != Ttl::Off) else {
            return self.not_stored(Outcome::Failed, is_value);
        };
        // A result that was invalidated during its load could not be served. Storing it would replace the entry of a
        // later load that is valid.
        if self.unreachable || !plan.valid_since(self.ticket.epoch, &self.job.tags) {
            return self.not_stored(Outcome::Failed, is_value);
        }
        match self.write(ttl, time).prepare(slot) {
            Ok(Prepared::Bytes(draft)) => Rest::Send(draft, is_value),
            Ok(Prepared::Done(stored)) => self.stored(Ok(stored), is_value),
            Err(error) => self.stored(Err(error), is_value),
        }
    }

    fn write(&self, ttl: Ttl, load_time: Duration) -> Write<'_> {
        Write {
            plan: self.plan(),
            key: &self.job.key,
            tags: &self.job.tags,
            groups: self.job.groups(),
            ticket: &self.ticket,
            mode: if self.job.how == How::Refresh { Mode::Replace } else { Mode::Fill },
            ttl,
            load_time,
            age: Duration::ZERO,
            caller: self.job.caller(),
        }
    }

    fn stored(&self, stored: Result<bool>, is_value: bool) -> Rest {
        let plan = self.plan();
        match stored {
            Ok(stored) => {
                plan.function.counters.lately.succeeded();
                // A refused store means that the fence was broken: by a newer write, by an older load, or by a pattern,
                // which breaks every fence in memory. A refresh cannot tell these apart and removes whatever entry is
                // there.
                if stored { Rest::Done(Outcome::Loaded) } else { self.not_stored(Outcome::Loaded, is_value) }
            }
            Err(error) if error.kind() == ErrorKind::Closed => Rest::Done(Outcome::Failed),
            Err(error) => {
                plan.not_cached("store", &error);
                self.not_stored(Outcome::Failed, is_value)
            }
        }
    }

    /// Ends without storing. A refresh removes the old entry then, unless its function returned an error.
    fn not_stored(&self, outcome: Outcome, is_value: bool) -> Rest {
        if self.job.how == How::Refresh && is_value { Rest::Remove(outcome) } else { Rest::Done(outcome) }
    }

    // ------------------------------------------------------------------------------------------------------ verifying

    /// Compares the result of a verifying run with the cached one, which stays the answer in any case.
    fn compare(&self, slot: &mut dyn Slot) -> Rest {
        self.plan().function.count_verified();
        let Some(difference) = slot.difference() else {
            slot.restore();
            return Rest::Done(Outcome::Present);
        };
        if !self.plan().store.answers_at_once() {
            return Rest::LookAgain(difference);
        }
        // Forgotten first: the slot has room for one result beside the cached one, and the second look needs it.
        slot.forget();
        let found = self.find(slot, ReadMode::Peek);
        Rest::Done(self.compare_again(found, difference, slot))
    }

    /// Counts a mismatch if the cache still has the answer. An entry that was removed, replaced or expired while the
    /// function ran is no mismatch, and neither is a value that does not equal itself, such as NaN.
    fn compare_again(&self, found: bool, difference: &'static str, slot: &mut dyn Slot) -> Outcome {
        if found && slot.difference().is_none() {
            self.plan().function.count_mismatch();
            self.plan().mismatched(&self.job.key, difference);
        }
        slot.restore();
        Outcome::Present
    }
}
