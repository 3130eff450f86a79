//! The process-wide default: one pointer to one instance, and the functions that act on it.

use std::path::PathBuf;

use parking_lot::RwLock;
use retainit_plugin::BackendConfig;

use crate::config::{Preset, Sources};
use crate::engine::{Plan, PlanRef};
use crate::instance::{Builder, Health};
use crate::meta::Evicted;
use crate::rt::Site;
use crate::stats::Stats;
use crate::{Error, ErrorKind, Result, Retainit, overrides};

struct Global {
    current: Option<Retainit>,
    /// Whether somebody chose it; an implicit one may be replaced.
    explicit: bool,
    /// Functions whose plan follows the default.
    sites: Vec<&'static Site>,
}

static GLOBAL: RwLock<Global> = RwLock::new(Global { current: None, explicit: false, sites: Vec::new() });

impl Global {
    /// The default, made if there is none yet.
    fn current(&mut self) -> Retainit {
        self.current.get_or_insert_with(Builder::implicit).clone()
    }

    fn forget_plans(&mut self) {
        for site in self.sites.drain(..) {
            site.set_plan(None);
        }
    }
}

pub(crate) fn install(instance: &Retainit) -> Result<()> {
    let mut global = GLOBAL.write();
    if let Some(current) = &global.current {
        if current.is_same(instance) {
            global.explicit = true;
            return Ok(());
        }
        if global.explicit && !current.is_closed() {
            return Err(Error::new(
                ErrorKind::Duplicate,
                "another instance is installed: close it first, or use `with_instance`",
            ));
        }
    }
    let replaced = global.current.replace(instance.clone());
    global.explicit = true;
    global.forget_plans();
    drop(global);
    if let Some(replaced) = replaced {
        // Its functions have moved on; what it kept would only take room.
        crate::runtime::block_on(replaced.close())?;
    }
    Ok(())
}

/// Functions of this instance decide again where they look.
pub(crate) fn replan(instance: &Retainit) {
    let mut global = GLOBAL.write();
    if global.current.as_ref().is_some_and(|current| current.is_same(instance)) {
        global.forget_plans();
    }
}

/// The plan of a function for this call.
pub(crate) fn plan(site: &'static Site) -> Result<PlanRef> {
    match overrides::current() {
        None => default_plan(site).map(PlanRef::Static),
        Some(scope) => match &scope.instance {
            Some(instance) => instance.scoped_plan(site, &scope),
            None if scope.overrides.is_empty() => default_plan(site).map(PlanRef::Static),
            None => installed().scoped_plan(site, &scope),
        },
    }
}

fn default_plan(site: &'static Site) -> Result<&'static Plan> {
    if let Some(plan) = site.plan() {
        return Ok(plan);
    }
    loop {
        // The plan is made outside the lock: what goes wrong is logged, and a log may call retained functions.
        let instance = installed();
        let epoch = instance.epoch();
        let made = instance.plan(site)?;
        let mut global = GLOBAL.write();
        if let Some(plan) = site.plan() {
            return Ok(plan);
        }
        // A plan made from settings that a reload has replaced meanwhile is made again.
        if global.current.as_ref().is_some_and(|current| current.is_same(&instance)) && instance.epoch() == epoch {
            let plan: &'static Plan = Box::leak(Box::new(made));
            site.set_plan(Some(plan));
            global.sites.push(site);
            return Ok(plan);
        }
    }
}

/// The instance that retained functions use here: that of `with_instance`, else the installed one, else one with the
/// defaults, which is made now.
///
/// A program without any backend linked gets an instance under which functions run uncached.
pub fn current() -> Retainit {
    match overrides::current().and_then(|scope| scope.instance.clone()) {
        Some(instance) => instance,
        None => installed(),
    }
}

fn installed() -> Retainit {
    if let Some(current) = &GLOBAL.read().current {
        return current.clone();
    }
    GLOBAL.write().current()
}

/// Installs an instance as the first retained call would make it: from `retainit.toml`, `.yaml` or `.json` in the
/// working directory or the file that `RETAINIT_CONFIG` names, the profile of `RETAINIT_PROFILE` and the environment.
/// Without any of these: up to 10 000 entries in memory that never expire.
///
/// # Errors
///
/// Every problem of the configuration, and as [`Retainit::install`].
pub fn init() -> Result<Retainit> {
    installed_from(Sources::implicit())
}

/// Installs an instance for development: as [`init`], over the preset `development`, which logs what happens.
///
/// # Errors
///
/// As [`init`].
pub fn init_dev() -> Result<Retainit> {
    installed_from(Preset::development().below_all())
}

/// Installs an instance for tests: memory only, small, with nothing read from files or the environment.
///
/// # Errors
///
/// As [`Retainit::install`].
pub fn init_test() -> Result<Retainit> {
    installed_from(Preset::test().alone())
}

/// Installs an instance for production on the backend that `url` names: as [`init`], over the preset `production`.
///
/// `url` is that of a shared backend such as `redis://host:6379`, whose feature has to be on, or the folder of a disk
/// cache: `file:///var/cache/shop`, with `%20` for a blank.
///
/// # Errors
///
/// As [`init`], and [`ErrorKind::Config`] for a URL that no linked backend answers to.
pub fn init_prod(url: impl AsRef<str>) -> Result<Retainit> {
    let instance = Retainit::builder().sources(Preset::production(url.as_ref())?.below_all()).build()?;
    // A program that runs uncached in production is told at once, not by its first call.
    instance.default_store().map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
    instance.install()?;
    Ok(instance)
}

/// Installs an instance from a file, with its profile and the environment.
///
/// # Errors
///
/// As [`init`].
pub fn load_config(path: impl Into<PathBuf>) -> Result<Retainit> {
    let instance = Retainit::builder().config_file(path).build()?;
    instance.install()?;
    Ok(instance)
}

/// Installs an instance from environment variables alone.
///
/// # Errors
///
/// As [`init`].
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
/// As [`Retainit::register_backend`].
pub fn register_backend(name: &str, config: impl BackendConfig) -> Result<()> {
    current().register_backend(name, config)
}

/// As [`Retainit::invalidate_tag`], on the default instance.
///
/// # Errors
///
/// As there.
pub async fn invalidate_tag(tag: impl AsRef<str>) -> Result<()> {
    current().invalidate_tag(tag).await
}

/// As [`Retainit::expire_tag`], on the default instance.
///
/// # Errors
///
/// As there.
pub async fn expire_tag(tag: impl AsRef<str>) -> Result<()> {
    current().expire_tag(tag).await
}

/// As [`Retainit::invalidate_pattern`], on the default instance.
///
/// # Errors
///
/// As there.
pub async fn invalidate_pattern(pattern: impl Into<crate::Pattern>) -> Result<Evicted> {
    current().invalidate_pattern(pattern).await
}

/// As [`Retainit::clear`], on the default instance.
///
/// # Errors
///
/// As there.
pub async fn clear() -> Result<Evicted> {
    current().clear().await
}

/// As [`Retainit::health`], on the default instance.
///
/// # Errors
///
/// As there.
pub async fn health() -> Result<Health> {
    current().health().await
}

/// As [`Retainit::registry`], on the default instance.
pub fn registry() -> crate::Registry {
    current().registry()
}

/// As [`Retainit::stats`], on the default instance.
pub fn stats() -> Stats {
    current().stats()
}
