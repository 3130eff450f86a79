use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use retainit_plugin::{Clock, Kept, Mark, Moment, ObjectBackend, Place, Strength, SystemClock};

use super::{Format, Function, Kind, Names, Store};
use crate::Retainit;
use crate::instance::Levels;
use crate::options::Resolved;

/// Everything a call needs to know, decided once: where it looks, how long things last, who it is.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Set when a hit may be looked for at once: values are kept as they are and keys are the arguments themselves.
    pub(crate) fast: Option<Arc<dyn ObjectBackend>>,
    pub(crate) hasher: foldhash::fast::FixedState,
    salt: u64,
    pub(crate) site: u32,
    /// Whether entries note when they are read.
    pub(crate) touches: bool,
    system_clock: bool,
    pub(crate) instance: Retainit,
    pub(crate) function: Arc<Function>,
    pub(crate) store: Arc<Store>,
    pub(crate) options: Resolved,
    /// What every level says, for `explain`.
    pub(crate) levels: Levels,
    /// The serializer that was named; without one, the type of the value decides.
    pub(crate) format: Option<Format>,
    /// Where an override hides the function's own backend: removals reach it too.
    pub(crate) hidden: Option<Arc<Store>>,
    /// Why calls run uncached.
    pub(crate) bypass: Option<Bypass>,
    /// Equal for plans under which one load serves all.
    pub(crate) fingerprint: u64,
    pub(crate) names: Names,
}

/// Why calls run as if there were no cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// As asked for: `disabled`.
    Disabled,
    /// Something is wrong, which is told as a `cache_error`.
    Broken(Arc<str>),
}

/// A plan, however it is owned.
#[derive(Clone, Debug)]
pub(crate) enum PlanRef {
    /// The plan behind a site.
    Static(&'static Plan),
    /// A plan of a cache, or under overrides.
    Shared(Arc<Plan>),
}

impl Deref for PlanRef {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        match self {
            PlanRef::Static(plan) => plan,
            PlanRef::Shared(plan) => plan,
        }
    }
}

impl Plan {
    pub(crate) fn new(
        instance: Retainit,
        function: Arc<Function>,
        store: Arc<Store>,
        levels: Levels,
        format: Option<Format>,
        hidden: Option<Arc<Store>>,
        bypass: Option<Bypass>,
    ) -> Plan {
        let site = function.site.get();
        let options = levels.resolve(matches!(store.kind, Kind::Bytes(_)));
        let fast = match (&store.kind, &bypass, function.keys) {
            (Kind::Object(_), Some(_), _) | (_, _, crate::key::KeyKind::Digest) => None,
            // A hit that may have to be verified needs the function at hand.
            (Kind::Object(_), None, _) if options.verify > 0.0 => None,
            (Kind::Object(object), None, _) => Some(Arc::clone(object)),
            (Kind::Bytes(_), ..) => None,
        };
        let mut fingerprint = foldhash::fast::FixedState::with_seed(u64::from(site)).build_hasher();
        fingerprint.write_usize(Arc::as_ptr(&store).addr());
        fingerprint.write(format!("{options:?}").as_bytes());
        let names = Names::new(&instance, &function, &store);
        Plan {
            fast,
            names,
            hasher: crate::key::hasher(),
            salt: u64::from(site).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            site,
            touches: options.idle.is_some(),
            system_clock: instance.has_system_clock(),
            instance,
            function,
            store,
            options,
            levels,
            format,
            hidden,
            bypass,
            fingerprint: fingerprint.finish(),
        }
    }

    /// Where a key of this function belongs.
    #[inline(always)]
    pub(crate) fn place(&self, key_hash: u64) -> Place {
        Place { hash: key_hash.wrapping_add(self.salt), site: self.site }
    }

    #[inline(always)]
    pub(crate) fn now(&self) -> Moment {
        if self.system_clock { SystemClock.now() } else { self.instance.clock().now() }
    }

    /// Whether an entry may be served as fresh at `now`, which is only asked for where it matters.
    #[inline(always)]
    pub(crate) fn is_live(&self, kept: &Kept) -> bool {
        (kept.fresh_until() == Moment::NEVER || kept.fresh_until() > self.now())
            && (kept.generation() == self.instance.generation().now() || self.recheck(kept))
            && (!self.touches || self.is_in_use(kept))
    }

    /// The same, but not counted as a use.
    pub(crate) fn may_be_served(&self, kept: &Kept) -> bool {
        let now = self.now();
        kept.fresh_until() > now
            && kept.ends() > now
            && (kept.generation() == self.instance.generation().now() || self.recheck(kept))
    }

    /// Something was invalidated since this entry was last looked at: was it this?
    #[cold]
    #[inline(never)]
    fn recheck(&self, kept: &Kept) -> bool {
        let now = self.instance.generation().now();
        let valid = self.valid_since(kept.generation(), kept.extra().map_or(&[], |extra| &extra.tags));
        if valid {
            kept.confirm(now);
        }
        valid
    }

    /// Whether neither the namespace, nor the function, nor one of the tags was invalidated after `generation`.
    pub(crate) fn valid_since(&self, generation: u64, tags: &[Arc<Mark>]) -> bool {
        self.invalidated_by(generation, tags).is_none()
    }

    /// What was invalidated after `generation`: for `explain`.
    pub(crate) fn invalidated_by(&self, generation: u64, tags: &[Arc<Mark>]) -> Option<&'static str> {
        let fell =
            |mark: &Mark| mark.generation(Strength::Hard) > generation || mark.generation(Strength::Soft) > generation;
        if fell(self.instance.namespace_mark()) {
            Some("the namespace was cleared")
        } else if fell(&self.function.mark) {
            Some("the function was cleared")
        } else if tags.iter().any(|tag| fell(tag)) {
            Some("one of its tags was invalidated")
        } else {
            None
        }
    }

    /// Idle time: not read for so long, it is gone; read, it stays.
    #[cold]
    fn is_in_use(&self, kept: &Kept) -> bool {
        let now = self.now();
        if kept.ends() <= now {
            return false;
        }
        kept.touch(now);
        true
    }
}
