//! Measures many callers of one missing key.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::harness::block_on;
use crate::subjects::{CAPACITY, RUNS, Value, peers, retained, slow};

const CALLERS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// Outcome of a storm of misses.
pub(crate) struct Storm {
    pub(crate) name: &'static str,
    /// Number of times the function ran.
    pub(crate) loads: u64,
    /// Number of the 999 others that were answered after the first caller was cancelled while it was loading.
    pub(crate) served: usize,
}

/// Returns a key that nobody has read before.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn storms() -> Vec<Storm> {
    block_on(async {
        let raw = Arc::new(quick_cache::sync::Cache::<u64, Value>::new(CAPACITY));
        let moka = peers::moka_async().await;
        let hitbox = Arc::new(peers::hitbox());
        vec![
            storm("quick_cache, get_or_insert_async", |id| {
                let raw = Arc::clone(&raw);
                async move {
                    let value = raw.get_or_insert_async(&id, async { Ok::<_, ()>(slow(id).await) }).await;
                    drop(value);
                }
            })
            .await,
            storm("retainit", |id| async move { drop(retained::slow(id).await) }).await,
            storm("moka, get_with", |id| {
                let moka = moka.clone();
                async move { drop(moka.get_with(id, slow(id)).await) }
            })
            .await,
            storm("cached", |id| async move { drop(peers::cached_slow(id).await) }).await,
            storm("hitbox", |id| {
                let hitbox = Arc::clone(&hitbox);
                async move { drop(peers::hitbox_slow(id).cache(&*hitbox).await) }
            })
            .await,
        ]
    })
}

async fn storm<F>(name: &'static str, call: impl Fn(u64) -> F) -> Storm
where
    F: Future<Output = ()> + Send + 'static,
{
    let before = RUNS.load(Ordering::Relaxed);
    let id = fresh();
    let callers: JoinSet<()> = (0..CALLERS).map(|_| call(id)).collect();
    callers.join_all().await;
    let loads = RUNS.load(Ordering::Relaxed) - before;

    let id = fresh();
    let leader = tokio::spawn(call(id));
    tokio::task::yield_now().await;
    let mut callers: JoinSet<()> = (1..CALLERS).map(|_| call(id)).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    leader.abort();
    let mut served = 0;
    let all = async {
        while let Some(answer) = callers.join_next().await {
            served += usize::from(answer.is_ok());
        }
    };
    // A stranded caller would wait for ever; the count shows it.
    drop(tokio::time::timeout(PATIENCE, all).await);
    Storm { name, loads, served }
}
