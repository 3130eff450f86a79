//! The process-wide default: one pointer to one instance, and the functions that act on it.

use parking_lot::RwLock;
use retainit_plugin::BackendConfig;

use crate::engine::{Plan, PlanRef};
use crate::instance::Health;
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
        self.current.get_or_insert_with(|| Retainit::builder().implicit()).clone()
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
        let made = instance.plan(site)?;
        let mut global = GLOBAL.write();
        if let Some(plan) = site.plan() {
            return Ok(plan);
        }
        if global.current.as_ref().is_some_and(|current| current.is_same(&instance)) {
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

/// Installs an instance with the defaults: up to 10 000 entries in memory that never expire.
///
/// # Errors
///
/// As [`Retainit::install`].
pub fn init() -> Result<Retainit> {
    let instance = Retainit::builder().build()?;
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

/// As [`Retainit::stats`], on the default instance.
pub fn stats() -> Stats {
    current().stats()
}
