//! Lists the keys of a byte store whose entries may be served.

use retainit_plugin::{LivenessCheck, LocalBackend, Result, Scan};

use super::{ByEnvelope, ByteStore, Operation, Passage, Side};
use crate::engine::EngineContext;
use crate::engine::groups::prefix;
use crate::engine::keys::{Cursor, FoundKey, KeyQuery, Slots};
use crate::engine::{Caller, CallerKind};
use crate::runtime::gather;

/// The number of entries that are judged at the same time, or judged or removed in one operation: each that is judged
/// is read whole.
pub(super) const TOGETHER: usize = 32;

impl ByteStore {
    /// Returns the keys of the next page and advances `cursor`. A page may be empty although more pages follow.
    pub(in crate::engine::store) async fn page(
        &self,
        instance: &EngineContext,
        wanted: &KeyQuery,
        caller_kind: CallerKind,
        cursor: &mut Cursor,
    ) -> Result<Vec<FoundKey>> {
        let data = prefix('d', instance.namespace());
        let from = || Scan::prefix(wanted.below.clone().unwrap_or_else(|| data.clone()));
        let scan = match std::mem::replace(cursor, Cursor::End) {
            Cursor::End => return Ok(Vec::new()),
            Cursor::Start => from(),
            Cursor::At(at) => from().after(at),
        };
        let scan = if wanted.slots == Slots::Any { scan.placeholders() } else { scan };
        let page = self.scan(Caller { caller_kind, patience: &self.patience() }, scan).await?;
        *cursor = page.next.map_or(Cursor::End, Cursor::At);
        let mut found: Vec<_> = page.keys.into_iter().filter_map(|full| wanted.found(&data, full)).collect();
        if wanted.slots == Slots::Live {
            let keys = found.iter().filter_map(|found| found.full.clone()).collect();
            let check = ByEnvelope::new(instance, &wanted.groups);
            let mut lives = self.are_live(caller_kind, keys, &check).await?.into_iter();
            found.retain(|_| lives.next().unwrap_or(false));
        }
        Ok(found)
    }

    /// Returns for each key whether its entry may be served.
    pub(super) async fn are_live(
        &self,
        caller_kind: CallerKind,
        keys: Vec<String>,
        check: &ByEnvelope,
    ) -> Result<Vec<bool>> {
        let mut live = Vec::with_capacity(keys.len());
        for keys in keys.chunks(TOGETHER) {
            let (keys, check, patience) = (keys.to_vec(), check.clone(), self.patience());
            let caller = Caller { caller_kind, patience: &patience };
            let call = async |passage: Passage<'_>| match passage.side() {
                Side::Remote(backend) => {
                    let check: &dyn LivenessCheck = &check;
                    let reads = |key: String| async move { passage.within(check.reads(backend.as_ref(), &key)).await };
                    gather(keys.into_iter().map(reads), TOGETHER, |_| ()).await.into_iter().collect()
                }
                Side::Local(backend) => {
                    let reads = move |backend: &dyn LocalBackend| {
                        let check: &dyn LivenessCheck = &check;
                        keys.iter().map(|key| check.reads_at_once(backend, key)).collect::<Result<Vec<bool>>>()
                    };
                    passage.locally(backend, caller, reads).await
                }
            };
            live.extend(self.gate.pass(Operation::Other, &patience, call).await?);
        }
        Ok(live)
    }
}
