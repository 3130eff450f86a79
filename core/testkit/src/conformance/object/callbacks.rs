use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use retainit_plugin::{
    EntryAddress, EntryRef, Error, InsertMode, Inserted, Listener, Moment, NewEntry, ObjectBackend, Removal,
    RemovalCause,
};

use super::bench::{Bench, SITE, Says, lasting};

const AT: EntryAddress = EntryAddress { hash: 42, site: SITE };

const KEY: &[u8] = b"key";

/// Key of the entries that callbacks put in and take out again.
const WITNESS: &[u8] = b"witness";

pub(super) fn a_dropped_value_may_call_the_backend(bench: &Bench) {
    let (backend, dropped) = (&bench.backend, Arc::new(AtomicUsize::new(0)));
    let insert = |put: InsertMode<'_>| {
        let value = Caller { backend: Arc::downgrade(backend), dropped: dropped.clone() };
        put_in(&**backend, value, put)
    };
    // Counts what was dropped since it was last asked.
    let expect = |count, by: &str| {
        assert_eq!(dropped.swap(0, Ordering::Relaxed), count, "values dropped by {by}");
    };
    let fence = backend.fence(AT);
    assert_eq!(insert(InsertMode::Always), Inserted::Yes);
    expect(0, "an insert into an empty slot");
    assert_eq!(insert(InsertMode::Always), Inserted::Yes);
    expect(1, "a replacement");
    assert_eq!(insert(InsertMode::Fenced(fence)), Inserted::Refused);
    expect(1, "a refused insert");
    assert_eq!(insert(InsertMode::Absent { live: &|_| true }), Inserted::Present);
    expect(1, "an insert where there was one");
    assert!(backend.remove(AT, &mut known()));
    expect(1, "a removal");
    assert_eq!(insert(InsertMode::Always), Inserted::Yes);
    assert_eq!(backend.retain(&mut remove_key), 1);
    expect(1, "a retain");
}

pub(super) fn a_listener_may_call_the_backend(bench: &Bench) {
    let listener = Arc::new(CallingListener::default());
    let backend = bench.build(listener.clone());
    listener.backend.set(Arc::downgrade(&backend)).expect("it is set once");
    let insert = || assert_eq!(put_in(&*backend, 1_u8, InsertMode::Always), Inserted::Yes);
    let expect = |count, by: &str| {
        assert_eq!(listener.reported.swap(0, Ordering::Relaxed), count, "removals reported by {by}");
    };
    insert();
    insert();
    expect(1, "a replacement");
    assert!(backend.remove(AT, &mut known()));
    expect(1, "a removal");
    insert();
    assert_eq!(backend.retain(&mut remove_key), 1);
    expect(1, "a retain");
}

/// A value that calls its backend when it is dropped.
struct Caller {
    backend: Weak<dyn ObjectBackend>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if let Some(backend) = self.backend.upgrade() {
            call(&*backend);
        }
    }
}

#[derive(Debug, Default)]
struct CallingListener {
    backend: OnceLock<Weak<dyn ObjectBackend>>,
    reported: AtomicUsize,
}

impl Listener for CallingListener {
    fn removed(&self, removal: Removal<'_>) {
        if removal.entry.key == WITNESS {
            return;
        }
        self.reported.fetch_add(1, Ordering::Relaxed);
        if let Some(backend) = self.backend.get().and_then(Weak::upgrade) {
            call(&*backend);
        }
    }

    fn near_capacity(&self, _: u64, _: u64) {}

    fn failed(&self, _: &'static str, _: &Error) {}
}

/// Calls that take every kind of lock a backend may have: those of the very place, and those of places that share a
/// lock with it by whichever bits of a hash a backend chooses its locks.
fn call(backend: &dyn ObjectBackend) {
    backend.get(AT, &mut known());
    backend.remove(AT, &mut Says { key: KEY, known: false });
    for bit in (0..u64::BITS).step_by(8) {
        let address = EntryAddress { hash: AT.hash ^ 1 << bit, site: SITE };
        let put = InsertMode::Fenced(backend.fence(address));
        let cached = lasting(2_u8, Moment::NEVER);
        backend.insert(NewEntry { address, key: WITNESS, cached, bytes: 1, max_entries: None }, put);
        backend.remove(address, &mut Says { key: WITNESS, known: true });
    }
    backend.scan(&mut |_| ());
    backend.len();
}

fn put_in<V: Send + Sync + 'static>(backend: &dyn ObjectBackend, value: V, put: InsertMode<'_>) -> Inserted {
    let cached = lasting(value, Moment::NEVER);
    backend.insert(NewEntry { address: AT, key: KEY, cached, bytes: 1, max_entries: None }, put)
}

fn remove_key(entry: EntryRef<'_>) -> Option<RemovalCause> {
    (entry.key == KEY).then_some(RemovalCause::Removed)
}

fn known() -> Says<'static> {
    Says { key: KEY, known: true }
}
