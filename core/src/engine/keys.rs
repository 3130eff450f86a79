//! Lists keys, in memory and in byte stores.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::Stream;
use retainit_plugin::Result;

use super::groups::Groups;
use super::{CallerKind, EngineContext, Plan, Store};
use crate::key::{Pattern, text};

/// A key that a listing has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundKey {
    /// Key as people see it, `{id}:{args}`.
    pub(crate) shown: String,
    /// Full key in a byte store.
    pub(crate) full: Option<String>,
}

/// Query for keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyQuery {
    prefix: String,
    pattern: Option<Pattern>,
    /// Number of the only function whose keys match.
    pub(super) site: Option<u32>,
    /// Prefix of that function's full keys.
    pub(super) below: Option<String>,
    /// Groups of all its entries.
    pub(super) groups: Groups,
    pub(super) slots: Slots,
}

/// Slots of a byte store that a walk returns. Listings need live entries only, removals need more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slots {
    /// Slots with an entry that may be served.
    Live,
    /// Slots with any entry, invalidated or not.
    Filled,
    /// Slots with any entry, or only with the fence of a load.
    Any,
}

impl KeyQuery {
    pub(crate) fn prefix(prefix: impl Into<String>) -> KeyQuery {
        KeyQuery {
            prefix: prefix.into(),
            pattern: None,
            site: None,
            below: None,
            groups: Groups::default(),
            slots: Slots::Live,
        }
    }

    pub(crate) fn pattern(pattern: Pattern) -> KeyQuery {
        KeyQuery { pattern: Some(pattern.clone()), ..KeyQuery::prefix(pattern.prefix()) }
    }

    /// Returns the query for the keys of one function or cache.
    pub(crate) fn function(plan: &Plan) -> KeyQuery {
        KeyQuery {
            site: Some(plan.site),
            below: Some(plan.function_prefix().to_owned()),
            groups: plan.own_groups().clone(),
            ..KeyQuery::prefix(format!("{}:", plan.function.id))
        }
    }

    pub(crate) fn slots(self, slots: Slots) -> KeyQuery {
        KeyQuery { slots, ..self }
    }

    pub(crate) fn wants(&self, shown: &str) -> bool {
        shown.starts_with(&self.prefix) && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(shown))
    }

    /// Returns a full key with its readable form, if it matches. `data` is the prefix of all keys of the namespace.
    pub(super) fn found(&self, data: &str, full: String) -> Option<FoundKey> {
        let (function, args) = full.strip_prefix(data)?.split_once(':')?;
        let (id, _version) = function.rsplit_once('@')?;
        let shown = format!("{}:{args}", text::unescape(id));
        self.wants(&shown).then_some(FoundKey { shown, full: Some(full) })
    }
}

/// A page-wise walk over the keys of one store.
#[derive(Debug)]
pub(crate) struct Walk {
    instance: EngineContext,
    store: Arc<Store>,
    wanted: KeyQuery,
    caller_kind: CallerKind,
    cursor: Cursor,
}

/// Position of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    Start,
    At(String),
    End,
}

impl Walk {
    pub(crate) fn new(instance: &EngineContext, store: &Arc<Store>, wanted: KeyQuery, caller_kind: CallerKind) -> Walk {
        Walk { instance: instance.clone(), store: Arc::clone(store), wanted, caller_kind, cursor: Cursor::Start }
    }

    /// Returns the next keys; empty at the end.
    pub(crate) async fn page(&mut self) -> Result<VecDeque<FoundKey>> {
        self.instance.check_open()?;
        loop {
            let found = self.store.page(&self.instance, &self.wanted, self.caller_kind, &mut self.cursor).await?;
            // A page of a byte store may have no key that matches, and more pages may follow.
            if !found.is_empty() || self.cursor == Cursor::End {
                return Ok(found.into());
            }
        }
    }
}

/// Keys, as a stream or, for sync programs, an iterator. Keys that are stored or removed meanwhile may be missing or
/// occur twice.
pub struct Keys {
    stream: std::pin::Pin<Box<dyn Stream<Item = Result<String>> + Send>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(crate) fn new(walks: Vec<Walk>) -> Keys {
        Keys { stream: Box::pin(Pages { walks: walks.into(), ready: VecDeque::new(), page: None }) }
    }

    /// Returns the next key; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<String>> {
        std::future::poll_fn(|cx| self.stream.as_mut().poll_next(cx)).await
    }

    /// Collects all keys.
    ///
    /// # Errors
    ///
    /// Returns the first error of a backend.
    pub async fn collect(mut self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        while let Some(key) = self.next().await {
            keys.push(key?);
        }
        Ok(keys)
    }
}

impl Stream for Keys {
    type Item = Result<String>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

type PageOf = std::pin::Pin<Box<dyn Future<Output = (Walk, Result<VecDeque<FoundKey>>)> + Send>>;

struct Pages {
    walks: VecDeque<Walk>,
    ready: VecDeque<FoundKey>,
    page: Option<PageOf>,
}

impl Stream for Pages {
    type Item = Result<String>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        use std::task::{Poll, ready};
        loop {
            if let Some(found) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(found.shown)));
            }
            // The future owns the walk and gives it back: a future that borrowed it could not be stored beside it.
            if let Some(page) = &mut self.page {
                let (walk, found) = ready!(page.as_mut().poll(cx));
                self.page = None;
                match found {
                    // The walk is dropped, so that an error ends one store's keys; those of the others follow.
                    Err(error) => return Poll::Ready(Some(Err(error))),
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => {
                        self.ready = found;
                        self.walks.push_front(walk);
                    }
                }
                continue;
            }
            let Some(mut walk) = self.walks.pop_front() else {
                return Poll::Ready(None);
            };
            self.page = Some(Box::pin(async move {
                let found = walk.page().await;
                (walk, found)
            }));
        }
    }
}
