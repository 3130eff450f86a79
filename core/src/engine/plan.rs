use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use retainit_plugin::{CachedEntry, Clock, EntryAddress, Moment, ObjectBackend, SystemClock};

use super::{EngineContext, Function, Names, Store, Verdict};
use crate::key::{HashSeed, KeyKind};
use crate::meta::Meta;
use crate::options::{OptionLayers, Resolved};
use crate::value::Format;

/// All decisions for a call, made once: its function, backend and options.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Backend that the hit path reads directly: values are in memory and keys are the arguments themselves.
    pub(crate) fast: Option<Arc<dyn ObjectBackend>>,
    pub(crate) hash_seed: HashSeed,
    salt: u64,
    pub(crate) site: u32,
    /// True if entries note when they are read.
    pub(crate) touches: bool,
    system_clock: bool,
    pub(crate) instance: EngineContext,
    pub(crate) function: Arc<Function>,
    pub(crate) store: Arc<Store>,
    pub(crate) options: Resolved,
    /// Options of every layer, for `explain`.
    pub(crate) layers: OptionLayers,
    /// Serializer that is set by name; without one, the type of the value decides.
    pub(crate) format: Option<Format>,
    /// The function's own backend, if an override hides it: removals reach it too.
    pub(crate) hidden: Option<Arc<Store>>,
    /// Reason why calls run uncached.
    pub(crate) bypass: Option<Bypass>,
    /// Number that is equal for plans whose calls can share one load.
    pub(crate) fingerprint: u64,
    pub(crate) names: Names,
}

/// Reason why calls run without the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The option `disabled` is set.
    Disabled,
    /// The plan has a problem, which is reported as a `cache_error`.
    Broken(Arc<str>),
}

/// A plan, owned by a site or shared.
#[derive(Clone, Debug)]
pub(crate) enum PlanRef {
    /// The plan of a site.
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
        instance: EngineContext,
        function: Arc<Function>,
        store: Arc<Store>,
        layers: OptionLayers,
        format: Option<Format>,
        hidden: Option<Arc<Store>>,
        bypass: Option<Bypass>,
    ) -> Plan {
        let site = function.site.get();
        let options = layers.resolve(store.serializes());
        // The hit path cannot run the function, which verifying a hit needs.
        let is_fast = bypass.is_none() && function.keys != KeyKind::Digest && options.verify == 0.0;
        let fast = store.near().filter(|_| is_fast).cloned();
        let mut fingerprint = foldhash::fast::FixedState::with_seed(u64::from(site)).build_hasher();
        fingerprint.write_usize(Arc::as_ptr(&store).addr());
        fingerprint.write(format!("{options:?}").as_bytes());
        let names = Names::new(&instance, &function, &store);
        Plan {
            fast,
            names,
            hash_seed: HashSeed::of_process(),
            salt: u64::from(site).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            site,
            // A bound lets those entries stay longer that were read.
            touches: options.max_idle.is_some() || options.max_entries.is_some(),
            system_clock: instance.has_system_clock(),
            instance,
            function,
            store,
            options,
            layers,
            format,
            hidden,
            bypass,
            fingerprint: fingerprint.finish(),
        }
    }

    /// Returns the address of a key of this function.
    #[inline(always)]
    pub(crate) fn address(&self, key_hash: u64) -> EntryAddress {
        EntryAddress { hash: key_hash.wrapping_add(self.salt), site: self.site }
    }

    #[inline(always)]
    pub(crate) fn now(&self) -> Moment {
        if self.system_clock { SystemClock.now() } else { self.instance.clock().now() }
    }

    /// Returns the metadata of an entry, as of now.
    pub(crate) fn meta(&self, cached: &CachedEntry, verdict: Verdict) -> Meta {
        let (now, wall) = (self.now(), self.instance.clock().wall());
        let fresh_for = match cached.fresh_until() {
            Moment::NEVER => None,
            until => Some(until.since(cached.created())),
        };
        Meta::new(wall, now.since(cached.created()), fresh_for, cached.load_time(), verdict.into())
    }
}
