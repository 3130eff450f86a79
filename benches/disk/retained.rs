//! Retained functions as anyone writes them.

use std::hint::black_box;
use std::sync::LazyLock;

use bytes::Bytes;
use retainit::{Cache, Retainit, retain};
use tokio::runtime::Runtime;

use crate::What;
use crate::peers::{Page, Store};

#[retain(id = "page", ttl = "1h", backend = "disk")]
fn page(size: usize, number: u64) -> Bytes {
    value(size, number as usize)
}

#[retain(id = "page_async", ttl = "1h", backend = "disk")]
async fn page_async(size: usize, number: u64) -> Bytes {
    value(size, number as usize)
}

/// Number of values of each size.
const KINDS: usize = 16;

static SMALL: LazyLock<[Bytes; KINDS]> = LazyLock::new(|| values(1_000));
static LARGE: LazyLock<[Bytes; KINDS]> = LazyLock::new(|| values(100_000));

fn values(size: usize) -> [Bytes; KINDS] {
    std::array::from_fn(|kind| (0..size).map(|i| (i / 7 + kind * 37) as u8).collect())
}

/// Returns a value that is made without a copy, and shares no byte with the next kind.
pub(crate) fn value(size: usize, kind: usize) -> Bytes {
    let values = if size == 1_000 { &*SMALL } else { &*LARGE };
    values[kind % KINDS].clone()
}

/// Returns a cache made in code, for what is set.
pub(crate) fn cache(retainit: &Retainit) -> retainit::Result<Cache<Bytes>> {
    retainit.cache("pages").ttl("1h").backend("disk").build()
}

pub(crate) struct Sync(pub(crate) Cache<Bytes>);

impl Store for Sync {
    fn read(&self, Page { size, number }: Page) {
        black_box(page(size, number));
    }

    fn fill(&self, page: Page, _: Bytes) {
        self.read(page);
    }

    fn set(&self, Page { size, number }: Page, value: Bytes) {
        self.0.blocking().set(&(size, number), value).expect("a store");
    }
}

/// Performs one operation of a task.
pub(crate) async fn act(cache: Cache<Bytes>, what: What, Page { size, number }: Page, value: Bytes) {
    match what {
        What::Read | What::Fill => drop(black_box(page_async(size, number).await)),
        What::Set => cache.set(&(size, number), value).await.expect("a store"),
    }
}

/// Calls the async function and waits: it stores the pages that will be read.
pub(crate) struct Waiting<'a>(pub(crate) &'a Runtime, pub(crate) Cache<Bytes>);

impl Waiting<'_> {
    fn wait(&self, what: What, page: Page, value: Bytes) {
        self.0.block_on(act(self.1.clone(), what, page, value));
    }
}

impl Store for Waiting<'_> {
    fn read(&self, page: Page) {
        self.wait(What::Read, page, Bytes::new());
    }

    fn fill(&self, page: Page, value: Bytes) {
        self.wait(What::Fill, page, value);
    }

    fn set(&self, page: Page, value: Bytes) {
        self.wait(What::Set, page, value);
    }
}
