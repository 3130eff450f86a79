//! Static of a retained function: its identity, and the plan its calls follow.
//!
//! This file owns the engine's only unsafe code: reading a plan through its pointer.
#![expect(unsafe_code, reason = "a hit reads its plan through one pointer; every safe alternative costs it 16 ns")]

use std::any::{Any, TypeId};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Descriptor;
use crate::engine::Plan;
use crate::value::ValueOps;

/// A retained function, or one instantiation of a generic one.
pub struct Site {
    pub(crate) descriptor: Descriptor,
    /// Label of an instantiation, which identifies it among the others.
    pub(crate) label: Option<String>,
    plan: AtomicPtr<Plan>,
    ops: OnceLock<Box<dyn Any + Send + Sync>>,
    instances: OnceLock<Box<Instantiation>>,
}

/// A list that only grows: nearly always of one.
struct Instantiation {
    of: TypeId,
    site: Site,
    next: OnceLock<Box<Instantiation>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("descriptor", &self.descriptor).field("label", &self.label).finish_non_exhaustive()
    }
}

impl Site {
    /// Makes the site of a function.
    pub const fn new(descriptor: Descriptor) -> Site {
        Site {
            descriptor,
            label: None,
            plan: AtomicPtr::new(ptr::null_mut()),
            ops: OnceLock::new(),
            instances: OnceLock::new(),
        }
    }

    /// Returns the site of one instantiation of a generic function, or of a method for one `Self`.
    #[inline]
    pub fn of<T: ?Sized>(&'static self, label: fn() -> String) -> &'static Site {
        let of = typeid::of::<T>();
        let mut list = &self.instances;
        loop {
            let found = list.get_or_init(|| {
                let site = Site { label: Some(label()), ..Site::new(self.descriptor) };
                Box::new(Instantiation { of, site, next: OnceLock::new() })
            });
            if found.of == of {
                return &found.site;
            }
            list = &found.next;
        }
    }

    /// Returns the plan for calls outside every override; `None` before the first call and after a change of instance.
    #[inline(always)]
    pub(crate) fn plan(&'static self) -> Option<&'static Plan> {
        let plan = self.plan.load(Ordering::Acquire);
        // SAFETY: `set_plan` stores null or a pointer made from `&'static Plan`, and plans are never freed.
        unsafe { plan.as_ref() }
    }

    /// Replaces the plan. Called under the lock that guards the installed instance.
    ///
    /// Old plans stay allocated, since a reader may still use one; they are few, as instances are installed and
    /// reloaded by hand.
    pub(crate) fn set_plan(&self, plan: Option<&'static Plan>) {
        self.plan.store(plan.map_or(ptr::null_mut(), |plan| ptr::from_ref(plan).cast_mut()), Ordering::Release);
    }

    /// Stores the operations on the value's type for handles; the first call counts.
    pub(crate) fn keep_ops<V: 'static>(&self, ops: ValueOps<V>) {
        self.ops.get_or_init(|| Box::new(ops));
    }

    pub(crate) fn ops<V: 'static>(&self) -> Option<ValueOps<V>> {
        self.ops.get()?.downcast_ref::<ValueOps<V>>().copied()
    }

    /// Returns a number that identifies the site in maps.
    pub(crate) fn address(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }
}

/// A function that was linked into the program.
#[derive(Debug)]
pub struct Linked(pub(crate) &'static Site);

impl Linked {
    /// Wraps a function's site.
    pub const fn new(site: &'static Site) -> Linked {
        Linked(site)
    }
}

inventory::collect!(Linked);

/// Returns every retained function of the program.
pub(crate) fn linked() -> impl Iterator<Item = &'static Site> {
    inventory::iter::<Linked>().map(|linked| linked.0)
}

/// Registers a function when the program starts.
#[doc(hidden)]
#[macro_export]
macro_rules! __submit {
    ($site:ident) => {
        $crate::rt::inventory::submit! { $crate::rt::Linked::new(&$site) }
    };
}
