//! Process-wide default: one pointer to one instance, and the functions that use it.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use retainit_plugin::lock::RwLock;
use retainit_plugin::{BackendConfig, Error, ErrorKind, PerProcess, Result, caught};

use crate::config::{Preset, Sources};
use crate::engine::{Plan, PlanRef};
use crate::instance::{Builder, FunctionList, Health, PlanObserver, all};
use crate::meta::Evicted;
use crate::site::{Site, linked};
use crate::stats::Stats;
use crate::{Retainit, overrides};

struct Global {
    current: Option<Retainit>,
    /// True if the program installed it; an implicit one may be replaced.
    explicit: bool,
    /// Functions whose plan depends on the default.
    sites: Vec<&'static Site>,
    /// Observer that the current instance notifies when its settings change.
    observer: Option<Arc<dyn PlanObserver>>,
}

static GLOBAL: PerProcess<RwLock<Global>> =
    PerProcess::new(|| RwLock::new(Global { current: None, explicit: false, sites: Vec::new(), observer: None }));

/// True if the program installed a default, in this process or one of which it is a child.
static CHOSEN: AtomicBool = AtomicBool::new(false);

impl Global {
    /// Returns the default, made if there is none yet. The child of a process that had installed one runs uncached
    /// until it installs its own: the implicit defaults are not what the program chose.
    fn current(&mut self) -> Retainit {
        let make = || if CHOSEN.load(Ordering::Relaxed) { Retainit::that_is_closed() } else { Builder::implicit() };
        if let Some(current) = &self.current {
            return current.clone();
        }
        let made = make();
        self.follow(made.clone());
        made
    }

    /// Makes an instance the current one; returns the one it replaces.
    fn follow(&mut self, instance: Retainit) -> Option<Retainit> {
        let observer: Arc<dyn PlanObserver> = Arc::new(InstalledPlans);
        instance.registered().follow(Arc::downgrade(&observer));
        instance.set_installed(true);
        // The observer of the previous instance is dropped here, which ends its notifications.
        self.observer = Some(observer);
        let replaced = self.current.replace(instance);
        if let Some(replaced) = &replaced {
            replaced.set_installed(false);
        }
        replaced
    }

    fn forget_plans(&mut self) {
        for site in self.sites.drain(..) {
            site.set_plan(None);
        }
    }
}

impl Retainit {
    /// Makes this the process-wide default that retained functions use.
    ///
    /// It replaces an implicit default and a closed one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Duplicate`] when another open instance was installed by hand, [`ErrorKind::Closed`] for a closed
    /// one, everything that [`check`](Retainit::check) finds, and [`ErrorKind::Config`] for a backend whose place cannot
    /// be used, such as the folder of a disk cache; nothing is installed then.
    pub fn install(&self) -> Result<()> {
        self.engine().check_open()?;
        all([self.check(), self.prepare()].into_iter().filter_map(Result::err).collect())?;
        install(self)
    }
}

fn install(instance: &Retainit) -> Result<()> {
    // The thread that makes the default holds the lock that is taken below, and the log it writes to may call this.
    if is_making() {
        return Err(Error::new(ErrorKind::Duplicate, "the default instance is being made on this thread"));
    }
    let mut global = GLOBAL.get().write();
    if let Some(current) = &global.current {
        if current.is_same(instance) {
            global.explicit = true;
            return Ok(());
        }
        if global.explicit && !current.engine().is_closed() {
            return Err(Error::new(
                ErrorKind::Duplicate,
                "another instance is installed: close it first, or use `with_instance`",
            ));
        }
    }
    CHOSEN.store(true, Ordering::Relaxed);
    let replaced = global.follow(instance.clone());
    global.explicit = true;
    global.forget_plans();
    drop(global);
    // Without the lock: closing runs code of backends and subscribers, which may call retained functions.
    if let Some(replaced) = replaced {
        // Its functions use the new instance; its entries would only take room.
        crate::runtime::block_on(replaced.close())?;
    }
    Ok(())
}

/// Observer that drops the plans of all functions that use the installed instance.
struct InstalledPlans;

impl PlanObserver for InstalledPlans {
    fn replan(&self) {
        GLOBAL.get().write().forget_plans();
    }
}

/// Returns the plan of a function for this call.
pub(crate) fn plan(site: &'static Site) -> Result<PlanRef> {
    match overrides::current() {
        None => {
            overrides::note_default(site.descriptor.name);
            default_plan(site).map(PlanRef::Static)
        }
        Some(scope) => match &scope.instance {
            Some(instance) if instance.engine().is_of_parent() => Err(instance.engine().closed()),
            Some(instance) => instance.scoped_plan(site, &scope.overrides),
            None if scope.overrides.is_empty() => default_plan(site).map(PlanRef::Static),
            None => installed().scoped_plan(site, &scope.overrides),
        },
    }
}

fn default_plan(site: &'static Site) -> Result<&'static Plan> {
    let own_plan = || site.plan().filter(|plan| !plan.instance.is_of_parent());
    if let Some(plan) = own_plan() {
        return Ok(plan);
    }
    if is_making() {
        return Err(Retainit::that_is_closed().engine().closed());
    }
    loop {
        // The plan is made outside the lock: problems are logged, and a log may call retained functions.
        let instance = installed();
        let revision = instance.settings_revision();
        let made = instance.plan(site)?;
        // Another thread may have made the plan meanwhile.
        let mut global = GLOBAL.get().write();
        if let Some(plan) = own_plan() {
            return Ok(plan);
        }
        // A plan made from settings that a reload has replaced meanwhile is made again.
        if global.current.as_ref().is_some_and(|current| current.is_same(&instance))
            && instance.settings_revision() == revision
        {
            let plan: &'static Plan = Box::leak(Box::new(made));
            site.set_plan(Some(plan));
            global.sites.push(site);
            return Ok(plan);
        }
    }
}

/// Returns the instance that retained functions use here: that of `with_instance`, else the installed one, else one
/// with the defaults, which is made now.
///
/// A program without any backend linked gets an instance under which functions run uncached.
pub fn current() -> Retainit {
    match overrides::current().and_then(|scope| scope.instance.clone()) {
        Some(instance) => instance,
        None => installed(),
    }
}

thread_local! {
    /// True while this thread makes the default, under the lock of all that ask for it.
    static MAKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns true while this thread makes the default. The log that is written to meanwhile may call retained functions;
/// those run uncached, since the lock is taken.
fn is_making() -> bool {
    MAKING.try_with(Cell::get).unwrap_or_default()
}

fn installed() -> Retainit {
    if is_making() {
        return Retainit::that_is_closed();
    }
    if let Some(current) = &GLOBAL.get().read().current {
        return current.clone();
    }
    let mut global = GLOBAL.get().write();
    let making = |now| MAKING.try_with(|making| making.set(now)).unwrap_or_default();
    making(true);
    let made = caught(ErrorKind::Config, "making the default instance", || global.current());
    making(false);
    made.unwrap_or_else(|_| Retainit::that_is_closed())
}

/// Installs an instance as the first retained call would make it: from `retainit.toml`, `.yaml` or `.json` in the
/// working directory or the file that `RETAINIT_CONFIG` names, the profile of `RETAINIT_PROFILE` and the environment.
/// Without any of these: up to 10 000 entries in memory that never expire.
///
/// # Errors
///
/// Every problem of the configuration, and those of [`Retainit::install`].
pub fn init() -> Result<Retainit> {
    installed_from(Sources::implicit())
}

impl Preset {
    /// Makes a builder over these settings.
    pub fn builder(self) -> Builder {
        let sources = if self.is_alone { Sources::default() } else { Sources::implicit() };
        Retainit::builder().sources(Sources { preset: Some(self), ..sources })
    }

    /// Installs an instance over these settings.
    ///
    /// # Errors
    ///
    /// Every problem of the configuration, and those of [`Retainit::install`].
    pub fn init(self) -> Result<Retainit> {
        let names_backend = self.names_backend();
        let instance = self.builder().build()?;
        if names_backend {
            // The backend of the URL is checked now: its problem is an error here, instead of uncached calls later.
            instance.default_store().map_err(|error| Error::new(ErrorKind::Config, error.report()))?;
        }
        instance.install()?;
        Ok(instance)
    }

    /// Installs what `build` makes of these settings, unless such an instance is installed and open: that is returned as
    /// it is.
    ///
    /// # Errors
    ///
    /// Every problem of the configuration, and those of [`Retainit::install`].
    pub fn init_once(self, build: impl FnOnce(Builder) -> Result<Retainit>) -> Result<Retainit> {
        let name = self.name;
        let installed = || {
            let global = GLOBAL.get().read();
            let current = global.current.as_ref().filter(|current| global.explicit && !current.engine().is_closed());
            current.filter(|current| current.is_of_preset(name)).cloned()
        };
        if let Some(instance) = installed() {
            return Ok(instance);
        }
        let instance = build(self.builder())?;
        // Another thread may have installed the same preset meanwhile.
        instance.install().map_or_else(|error| installed().ok_or(error), |()| Ok(instance))
    }
}

/// Returns the names of the backends that functions of this program name in their attributes.
pub fn backends_named() -> impl Iterator<Item = &'static str> {
    let names: std::collections::BTreeSet<_> = linked().filter_map(|site| site.descriptor.backend).collect();
    names.into_iter()
}

/// Installs an instance from a file, with its profile and the environment.
///
/// # Errors
///
/// Those of [`init`].
pub fn load_config(path: impl Into<PathBuf>) -> Result<Retainit> {
    let instance = Retainit::builder().config_file(path).build()?;
    instance.install()?;
    Ok(instance)
}

/// Installs an instance from environment variables alone.
///
/// # Errors
///
/// Those of [`init`].
pub fn load_from_env() -> Result<Retainit> {
    installed_from(Sources { environment: true, ..Sources::default() })
}

fn installed_from(sources: Sources) -> Result<Retainit> {
    let instance = Retainit::builder().sources(sources).build()?;
    instance.install()?;
    Ok(instance)
}

/// Registers a backend with the default instance.
///
/// # Errors
///
/// Those of [`Retainit::register_backend`].
pub fn register_backend(name: &str, config: impl BackendConfig) -> Result<()> {
    current().register_backend(name, config)
}

/// Invalidates a tag on the default instance; see [`Retainit::invalidate_tag`].
///
/// # Errors
///
/// Those of [`Retainit::invalidate_tag`].
pub async fn invalidate_tag(tag: impl AsRef<str>) -> Result<()> {
    current().invalidate_tag(tag).await
}

/// Expires a tag on the default instance; see [`Retainit::expire_tag`].
///
/// # Errors
///
/// Those of [`Retainit::expire_tag`].
pub async fn expire_tag(tag: impl AsRef<str>) -> Result<()> {
    current().expire_tag(tag).await
}

/// Removes all entries whose key matches a pattern, on the default instance; see [`Retainit::invalidate_pattern`].
///
/// # Errors
///
/// Those of [`Retainit::invalidate_pattern`].
pub async fn invalidate_pattern(pattern: impl Into<crate::Pattern>) -> Result<Evicted> {
    current().invalidate_pattern(pattern).await
}

/// Removes all entries of the default instance; see [`Retainit::clear`].
///
/// # Errors
///
/// Those of [`Retainit::clear`].
pub async fn clear() -> Result<Evicted> {
    current().clear().await
}

/// Checks the backends of the default instance; see [`Retainit::health`].
///
/// # Errors
///
/// Those of [`Retainit::health`].
pub async fn health() -> Result<Health> {
    current().health().await
}

/// Returns the functions of the default instance; see [`Retainit::functions`].
pub fn functions() -> FunctionList {
    current().functions()
}

/// Returns the plugins of the default instance; see [`Retainit::registry`].
pub fn registry() -> crate::Registry {
    current().registry()
}

/// Returns the statistics of the default instance; see [`Retainit::stats`].
pub fn stats() -> Stats {
    current().stats()
}
