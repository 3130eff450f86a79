//! Keeps calls on the heap, in places that a thread uses again.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use super::Job;
use super::miss::Miss;

type MissRoom = Box<Option<Miss>>;

thread_local! {
    /// MissRoom of the last call that ended on this thread. Without it each miss would allocate one.
    static FREE: Cell<Option<MissRoom>> = const { Cell::new(None) };
}

/// A [`Miss`] on the heap, of the size of a pointer.
#[derive(Debug)]
pub(crate) struct MissBox(MissRoom);

impl MissBox {
    /// Makes the state of a call.
    pub(crate) fn new(job: Job) -> MissBox {
        // Calls inside a load find no place, nor do those in destructors of other thread-locals: they allocate one.
        let mut place = FREE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        *place = Some(Miss::new(job));
        MissBox(place)
    }

    /// Drops the call and keeps its place. One that is dropped otherwise, by a panic or a cancellation, frees it.
    pub(crate) fn end(mut self) {
        // Emptied before it is kept: the end of a call wakes tasks, and runs code of theirs that makes calls.
        *self.0 = None;
        FREE.try_with(|free| free.set(Some(self.0))).ok();
    }
}

const OCCUPIED: &str = "a place is emptied only at the end of its call";

impl Deref for MissBox {
    type Target = Miss;

    #[inline(always)]
    fn deref(&self) -> &Miss {
        self.0.as_ref().as_ref().expect(OCCUPIED)
    }
}

impl DerefMut for MissBox {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Miss {
        self.0.as_mut().as_mut().expect(OCCUPIED)
    }
}
