//! Listing keys, in memory and in byte stores.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_core::Stream;
use retainit_plugin::{ErrorKind, Scan, Strength, caught};

use super::{Face, Kind, Store};
use crate::key::{Pattern, arguments_text, text};
use crate::{Result, Retainit};

/// A key as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// `{id}:{args}`, as people see it.
    pub(crate) shown: String,
    /// The full key in a byte store.
    pub(crate) full: Option<String>,
}

/// Which keys are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) prefix: String,
    pub(crate) pattern: Option<Pattern>,
    /// Only this function's.
    pub(crate) site: Option<u32>,
    /// The beginning of its full keys.
    pub(crate) below: Option<String>,
    /// Slots too that only hold a load's fence.
    pub(crate) placeholders: bool,
}

impl Wanted {
    pub(crate) fn prefix(prefix: impl Into<String>) -> Wanted {
        Wanted { prefix: prefix.into(), pattern: None, site: None, below: None, placeholders: false }
    }

    pub(crate) fn pattern(pattern: Pattern) -> Wanted {
        Wanted {
            prefix: pattern.prefix().to_owned(),
            pattern: Some(pattern),
            site: None,
            below: None,
            placeholders: false,
        }
    }

    pub(crate) fn wants(&self, shown: &str) -> bool {
        shown.starts_with(&self.prefix) && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(shown))
    }
}

/// The keys an object store holds that may still be served.
fn object_keys(instance: &Retainit, object: &dyn retainit_plugin::ObjectBackend, wanted: &Wanted) -> VecDeque<Found> {
    let mut found = VecDeque::new();
    let functions = instance.functions_by_site();
    object.scan(&mut |entry| {
        let Some(function) = functions.get(&entry.site).filter(|f| wanted.site.is_none_or(|site| site == f.site.get()))
        else {
            return;
        };
        if entry.kept.ends() <= instance.clock().now() || is_dead(instance, &function.mark, entry.kept) {
            return;
        }
        let shown = format!("{}:{}", function.id, arguments_text(function.keys, entry.key));
        if wanted.wants(&shown) {
            found.push_back(Found { shown, full: None });
        }
    });
    found
}

/// Whether an entry was invalidated and merely not met since.
pub(crate) fn is_dead(instance: &Retainit, function: &retainit_plugin::Mark, kept: &retainit_plugin::Kept) -> bool {
    let generation = kept.generation();
    let fell = |mark: &retainit_plugin::Mark| {
        mark.generation(Strength::Hard) > generation || mark.generation(Strength::Soft) > generation
    };
    generation != instance.generation().now()
        && (fell(instance.namespace_mark())
            || fell(function)
            || kept.extra().is_some_and(|extra| extra.tags.iter().any(|tag| fell(tag))))
}

/// A page-wise walk over the keys of one store.
#[derive(Debug)]
pub(crate) struct Walk {
    instance: Retainit,
    store: Arc<Store>,
    wanted: Wanted,
    face: Face,
    cursor: Cursor,
}

#[derive(Debug)]
enum Cursor {
    Start,
    At(String),
    End,
}

impl Walk {
    pub(crate) fn new(instance: &Retainit, store: &Arc<Store>, wanted: Wanted, face: Face) -> Walk {
        Walk { instance: instance.clone(), store: Arc::clone(store), wanted, face, cursor: Cursor::Start }
    }

    /// The next keys; empty at the end.
    pub(crate) async fn page(&mut self) -> Result<VecDeque<Found>> {
        self.instance.check_open()?;
        loop {
            let scan = match std::mem::replace(&mut self.cursor, Cursor::End) {
                Cursor::End => return Ok(VecDeque::new()),
                Cursor::Start => Scan::prefix(self.scan_prefix()),
                Cursor::At(cursor) => Scan::prefix(self.scan_prefix()).after(cursor),
            };
            let scan = if self.wanted.placeholders { scan.placeholders() } else { scan };
            let bytes = match &self.store.kind {
                Kind::Object(object) => {
                    let list = || object_keys(&self.instance, object.as_ref(), &self.wanted);
                    return caught(ErrorKind::Backend, "the backend", list);
                }
                Kind::Bytes(bytes) => bytes,
            };
            let page = bytes.scan(self.face, scan).await?;
            self.cursor = page.next.map_or(Cursor::End, Cursor::At);
            let found: VecDeque<_> = page.keys.into_iter().filter_map(|full| self.read(full)).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Where in the store the wanted keys lie: below the function, or as far as a prefix reaches into its name.
    fn scan_prefix(&self) -> String {
        self.wanted.below.clone().unwrap_or_else(|| super::groups::prefix('d', self.instance.namespace()))
    }

    /// A full key as people see it, if it is wanted.
    fn read(&self, full: String) -> Option<Found> {
        let rest = full.strip_prefix(&super::groups::prefix('d', self.instance.namespace()))?;
        let (function, args) = rest.split_once(':')?;
        let (id, _version) = function.rsplit_once('@')?;
        let shown = format!("{}:{args}", text::unescape(id));
        self.wanted.wants(&shown).then_some(Found { shown, full: Some(full) })
    }
}

/// Keys, as a stream or, for sync programs, an iterator. Keys that come and go while it runs may be missed or shown
/// twice.
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

    /// The next key; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<String>> {
        std::future::poll_fn(|cx| self.stream.as_mut().poll_next(cx)).await
    }

    /// All keys.
    ///
    /// # Errors
    ///
    /// The first error of a backend.
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

type PageOf = std::pin::Pin<Box<dyn Future<Output = (Walk, Result<VecDeque<Found>>)> + Send>>;

struct Pages {
    walks: VecDeque<Walk>,
    ready: VecDeque<Found>,
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
            if let Some(page) = &mut self.page {
                let (walk, found) = ready!(page.as_mut().poll(cx));
                self.page = None;
                match found {
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
