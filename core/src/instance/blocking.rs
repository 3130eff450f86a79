use retainit_plugin::{Result, Strength};

use super::{Health, Retainit};
use crate::engine::{CallerKind, KeyQuery, invalidate};
use crate::key::Pattern;
use crate::meta::Evicted;
use crate::runtime::block_on;

/// A [`Retainit`] for sync programs: its methods block.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'a>(pub(super) &'a Retainit);

macro_rules! blocking_methods {
    ($($doc:literal $name:ident($($argument:ident: $type:ty),*) -> $result:ty = $body:expr;)*) => {
        impl Blocking<'_> {
            $(
                #[doc = concat!($doc, ": [`Retainit::", stringify!($name), "`] for sync programs.")]
                ///
                /// # Errors
                ///
                #[doc = concat!("Returns the errors of [`Retainit::", stringify!($name), "`].")]
                pub fn $name(&self, $($argument: $type),*) -> $result {
                    let this = self.0;
                    block_on(($body)(this))
                }
            )*
        }
    };
}

blocking_methods! {
    "Invalidates every entry with a tag"
    invalidate_tag(tag: impl AsRef<str>) -> Result<()> =
        async |this: &Retainit| invalidate::tag(&this.context(), tag.as_ref(), Strength::Hard, CallerKind::Blocking).await;
    "Makes every entry with a tag stale"
    expire_tag(tag: impl AsRef<str>) -> Result<()> =
        async |this: &Retainit| invalidate::tag(&this.context(), tag.as_ref(), Strength::Soft, CallerKind::Blocking).await;
    "Removes the entries whose keys match a pattern"
    invalidate_pattern(pattern: impl Into<Pattern>) -> Result<Evicted> =
        async |this: &Retainit| invalidate::pattern(&this.context(), pattern.into(), CallerKind::Blocking).await;
    "Clears this namespace in every backend"
    clear() -> Result<Evicted> = async |this: &Retainit| invalidate::clear_namespace(&this.context(), CallerKind::Blocking).await;
    "Checks that everything calls need works"
    health() -> Result<Health> = async |this: &Retainit| this.health().await;
    "Ends background work and connections"
    close() -> Result<()> = async |this: &Retainit| this.close_of(CallerKind::Blocking).await;
    "Lists the keys that begin with a prefix"
    keys(prefix: impl Into<String>) -> Result<Vec<String>> =
        async |this: &Retainit| this.walk(KeyQuery::prefix(prefix), CallerKind::Blocking).collect().await;
    "Lists the keys that match a pattern"
    keys_matching(pattern: impl Into<Pattern>) -> Result<Vec<String>> =
        async |this: &Retainit| this.walk(KeyQuery::pattern(pattern.into()), CallerKind::Blocking).collect().await;
}
