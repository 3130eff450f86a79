use retainit_plugin::Strength;

use super::{Health, Retainit};
use crate::Result;
use crate::engine::{Face, Wanted, invalidate};
use crate::key::Pattern;
use crate::meta::Evicted;
use crate::runtime::block_on;

/// A [`Retainit`] for sync programs: the same methods, which wait.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'a>(pub(super) &'a Retainit);

macro_rules! as_above {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {
        impl Blocking<'_> {
            $(
                #[doc = concat!("As [`Retainit::", stringify!($name), "`].")]
                ///
                /// # Errors
                ///
                /// As there.
                pub fn $name(&self, $($argument: $type),*) -> $result {
                    let this = self.0;
                    block_on(($body)(this))
                }
            )*
        }
    };
}

as_above! {
    invalidate_tag(tag: impl AsRef<str>) -> Result<()> =
        async |this: &Retainit| invalidate::tag(this, tag.as_ref(), Strength::Hard, Face::Sync).await;
    expire_tag(tag: impl AsRef<str>) -> Result<()> =
        async |this: &Retainit| invalidate::tag(this, tag.as_ref(), Strength::Soft, Face::Sync).await;
    invalidate_pattern(pattern: impl Into<Pattern>) -> Result<Evicted> =
        async |this: &Retainit| invalidate::pattern(this, pattern.into(), Face::Sync).await;
    clear() -> Result<Evicted> = async |this: &Retainit| invalidate::clear_namespace(this, Face::Sync).await;
    health() -> Result<Health> = async |this: &Retainit| this.health_of(Face::Sync).await;
    close() -> Result<()> = async |this: &Retainit| this.close_of(Face::Sync).await;
    keys(prefix: impl Into<String>) -> Result<Vec<String>> =
        async |this: &Retainit| this.walk(Wanted::prefix(prefix), Face::Sync).collect().await;
    keys_matching(pattern: impl Into<Pattern>) -> Result<Vec<String>> =
        async |this: &Retainit| this.walk(Wanted::pattern(pattern.into()), Face::Sync).collect().await;
}
