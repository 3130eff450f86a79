//! Settings for the usual places where a program runs. They name plugins, so that they are here and not in the engine.

use retainit_core::{Builder, Preset, Result, Retainit};

/// Installs an instance for development: as [`init`](crate::init), over the preset `development`, which logs all
/// events.
///
/// # Errors
///
/// Those of [`init`](crate::init).
pub fn init_dev() -> Result<Retainit> {
    Preset::new("development", include_str!("../profiles/development.toml")).init()
}

/// Installs an instance for tests: memory only, small, with nothing read from files or the environment. Backends that
/// functions name in their attributes are in memory too.
///
/// It is the instance of the whole process. Every test of a binary may call this: the first call installs it, later ones
/// return it as it is, with its entries, since another test may be using it at the same time; after
/// [`close`](Retainit::close) the next call installs a new one. A test that counts hits, or needs an empty cache, has one
/// of its own by `retainit::testing::isolated()`, of the feature `test`.
///
/// # Errors
///
/// Those of [`Retainit::install`], if the program has installed another instance.
pub fn init_test() -> Result<Retainit> {
    test().init_once(|builder| in_memory(builder).build())
}

pub(crate) fn test() -> Preset {
    Preset::new("test", include_str!("../profiles/test.toml")).alone()
}

/// Adds the backends that functions name, in memory.
pub(crate) fn in_memory(builder: Builder) -> Builder {
    #[cfg(feature = "memory")]
    let builder = retainit_core::backends_named()
        .fold(builder, |builder, name| builder.register_backend(name, crate::MemoryConfig::new().max_entries(1_000)));
    builder
}

/// Installs an instance for production on the backend that `url` names: as [`init`](crate::init), over the preset
/// `production`.
///
/// `url` is that of a shared backend such as `redis://host:6379`, whose feature has to be on, or the folder of a disk
/// cache: `file:///var/cache/shop`, with `%20` for a blank.
///
/// # Errors
///
/// Those of [`init`](crate::init), and [`ErrorKind::Config`](crate::ErrorKind::Config) for a URL that names no linked
/// backend.
pub fn init_prod(url: impl AsRef<str>) -> Result<Retainit> {
    Preset::new("production", include_str!("../profiles/production.toml")).backend(url.as_ref()).init()
}
