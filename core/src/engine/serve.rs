//! What lies in the store, as the answer of a call.

use std::future::Future;
use std::time::Duration;

use retainit_plugin::StoredValue;

use super::load::{How, Outcome, Run};
use super::lookup::{BytesLook, BytesLooked, Failure, lookup_at_once};
use super::verify::is_drawn;
use super::{ByteStore, Hit, Looked, lookup_bytes};
use crate::rt::{Sealed, Shape, Storage};

impl<R, P, S> Run<'_, R, P, S>
where
    P: Shape<R>,
    P::Value: StoredValue,
    S: Storage<P::Value>,
{
    /// Answers a call from the cache. One hit in so many is verified first; boxed, for all others do without.
    pub(super) async fn hit<L: Future<Output = R>>(&self, result: R, loader: L) -> (R, Outcome) {
        self.job.plan.hit(&self.job.key, self.watch.as_ref());
        if self.job.how == How::Call && is_drawn(self.job.plan.options.verify) {
            Box::pin(self.verify(&result, loader)).await;
        }
        (result, Outcome::Present)
    }

    /// Looks into a byte store, and takes the fence for a load of at most `lease`.
    pub(super) async fn look_bytes(
        &self,
        store: &ByteStore,
        lease: Option<Duration>,
    ) -> crate::Result<BytesLooked<P::Value>> {
        let (key, args_digest) = self.job.plan.logical_key_and_digest(&self.job.key);
        lookup_bytes(&self.job.plan, self.look(store, lease, &key, args_digest), &self.facts.value).await
    }

    /// The same without a future, see [`lookup_at_once`].
    pub(super) fn look_at_once(
        &self,
        store: &ByteStore,
        lease: Option<Duration>,
    ) -> Option<crate::Result<BytesLooked<P::Value>>> {
        let backend = store.at_once(self.job.face)?;
        let (key, args_digest) = self.job.plan.logical_key_and_digest(&self.job.key);
        Some(lookup_at_once(&self.job.plan, backend, &self.look(store, lease, &key, args_digest), &self.facts.value))
    }

    fn look<'l>(
        &'l self,
        store: &'l ByteStore,
        lease: Option<Duration>,
        key: &'l str,
        args_digest: Vec<u8>,
    ) -> BytesLook<'l> {
        let (face, groups) = (self.job.face, self.job.groups());
        BytesLook { store, face, key, lease, groups, args_digest, even_dead: false }
    }

    /// The result that something in the store stands for.
    pub(super) fn serve(&self, looked: Looked<S::Kept>) -> Option<R> {
        self.answer(looked, S::give)
    }

    /// The same for a byte store.
    pub(super) fn serve_bytes(&self, looked: Looked<P::Value>) -> Option<R> {
        self.answer(looked, |value| value)
    }

    fn answer<K>(&self, looked: Looked<K>, give: fn(K) -> P::Value) -> Option<R> {
        match looked {
            Looked::Miss => None,
            Looked::Hit(Hit::Value(kept, _)) => Some(P::wrap(give(kept))),
            Looked::Hit(Hit::Failure(failure)) => self.serve_failure(failure),
        }
    }

    fn serve_failure(&self, failure: Failure) -> Option<R> {
        match failure {
            Failure::Any(any) => (self.facts.share?.take)(any.as_ref()),
            Failure::Bytes(Sealed { format, fingerprint, outermost, payload }) => {
                let plan = &*self.job.plan;
                let sealed = Sealed { format, fingerprint, outermost, payload: &*payload };
                self.facts
                    .whole?
                    .read(&sealed, &payload, &plan.instance.deadline())
                    .map_err(|error| plan.unread(&error.into()))
                    .ok()
            }
        }
    }
}
