//! What lies in the store, or another's load has left, as the answer of a call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use retainit_plugin::{Contained, ErrorKind, ObjectBackend, StoredValue, caught};

use super::flight::Fruit;
use super::load::{How, Outcome, Run};
use super::lookup::{BytesLook, BytesLooked, Failure, lookup_at_once};
use super::verify::is_drawn;
use super::{ByteStore, Hit, Look, Looked, lookup_bytes, lookup_object};
use crate::rt::{Sealed, Shape, Storage, contained};

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

    /// The result that something in an object store stands for.
    pub(super) fn find(&self, object: &dyn ObjectBackend, look: Look) -> Option<R> {
        let plan = &self.job.plan;
        contained(plan, || self.answer(lookup_object(plan, object, &self.job.key, look), S::give))
    }

    /// The same for a byte store.
    pub(super) fn serve_bytes(&self, looked: Looked<P::Value>) -> Option<R> {
        contained(&self.job.plan, || self.answer(looked, |value| value))
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

    /// What followers get: the value, or the whole result if it can be cloned.
    pub(super) fn fruit(&self, result: &R) -> Fruit {
        let make = || match (P::split(result), self.facts.share) {
            (Ok(value), _) => Fruit::Value(Arc::new(Contained::new(S::keep(value.clone())))),
            (Err(_), Some(share)) => Fruit::Whole((share.share)(result)),
            (Err(_), None) => Fruit::Unshared,
        };
        caught(ErrorKind::Codec, "copying a result for those who wait", make).unwrap_or_else(|error| {
            self.job.plan.failed("share", &error);
            Fruit::Unshared
        })
    }

    /// A copy of what a leader has left.
    pub(super) fn taste(&self, fruit: &Fruit) -> Option<R> {
        match fruit {
            Fruit::Value(any) => {
                any.downcast_ref::<Contained<S::Kept>>().map(|kept| P::wrap(S::give(S::Kept::clone(kept))))
            }
            Fruit::Whole(any) => (self.facts.share?.take)(any.as_ref()),
            Fruit::Unshared => None,
        }
    }
}
