use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use retainit_memory::{MemoryConfig, Policy};
use retainit_plugin::{
    BackendConfig, Built, CachedEntry, Error, InsertMode, Inserted, Listener, ObjectBackend, Removal, RemovalCause,
    Visit,
};

use crate::common::{BOTH, Short, address, build, context, entry};

/// A value that uses its backend while it is dropped.
struct Meddler {
    backend: Weak<dyn ObjectBackend>,
    key: u64,
}

fn meddle(memory: &dyn ObjectBackend, key: &[u8]) {
    memory.peek(address(key), &mut Any(key));
    memory.remove(address(key), &mut Any(key));
    memory.put(key, 5);
    memory.fence(address(key));
    memory.next_deadline();
    memory.retain(&mut |entry| {
        (entry.key == key && entry.cached.value::<u64>().is_some()).then_some(RemovalCause::Expired)
    });
}

impl Drop for Meddler {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.upgrade() {
            meddle(&*backend, &self.key.to_be_bytes());
        }
    }
}

struct Any<'a>(&'a [u8]);

impl Visit for Any<'_> {
    fn visit(&mut self, key: &[u8], _: &CachedEntry) -> bool {
        key == self.0
    }
}

/// Runs what may block for ever if a lock is held where it must not be.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = channel();
    let worker = std::thread::spawn(move || {
        work();
        let _nobody_waits_any_more = done.send(());
    });
    let waited = wait.recv_timeout(Duration::from_secs(60));
    assert!(waited.is_ok() || worker.is_finished(), "a value's drop waits for its own backend");
    worker.join().unwrap();
}

fn exercise(policy: Policy) {
    let (memory, _) = build(&MemoryConfig::new().max_entries(20).policy(policy));
    let meddler = |key: u64| Meddler { backend: Arc::downgrade(&memory), key };
    for key in 0..200u64 {
        let text = (key % 50).to_be_bytes();
        let fence = memory.fence(address(&text));
        memory.insert(entry(&text, meddler(key % 50)), InsertMode::Always);
        let late = memory.insert(entry(&text, meddler(key % 50)), InsertMode::Fenced(fence));
        assert_eq!(late, Inserted::Refused);
        let absent = InsertMode::Absent { live: &|_| true };
        memory.insert(entry(&text, meddler(key % 50)), absent);
        memory.retain(&mut |entry| (entry.key == text).then_some(RemovalCause::Expired));
        memory.insert(entry(&text, meddler(key % 50)), InsertMode::Always);
        memory.remove(address(&text), &mut Any(&text));
        memory.insert(entry(&text, meddler(key % 50)), InsertMode::Always);
    }
    memory.retain(&mut |_| Some(RemovalCause::Invalidated));
}

#[test]
fn a_value_may_use_its_backend_while_it_is_dropped() {
    for policy in BOTH {
        in_time(move || exercise(policy));
    }
}

/// Uses the backend from each notice.
#[derive(Debug, Default)]
struct Busy(Mutex<Option<Weak<dyn ObjectBackend>>>);

impl Busy {
    fn backend(&self) -> Option<Arc<dyn ObjectBackend>> {
        self.0.lock().unwrap().as_ref().and_then(Weak::upgrade)
    }
}

impl Listener for Busy {
    fn removed(&self, removal: Removal<'_>) {
        let plain = removal.entry.cached.value::<u64>().is_some();
        if let (Some(backend), false) = (self.backend(), plain) {
            meddle(&*backend, removal.entry.key);
        }
    }

    fn near_capacity(&self, _: u64, _: u64) {
        if let Some(backend) = self.backend() {
            meddle(&*backend, b"near");
        }
    }

    fn failed(&self, _: &'static str, _: &Error) {}
}

#[test]
fn a_listener_may_use_the_backend() {
    for policy in BOTH {
        in_time(move || {
            let busy = Arc::new(Busy::default());
            let config = MemoryConfig::new().max_entries(20).policy(policy);
            let Ok(Built::Object(memory)) = config.build(context(busy.clone())) else {
                panic!("memory builds an object backend")
            };
            *busy.0.lock().unwrap() = Some(Arc::downgrade(&memory));
            for key in 0..200u64 {
                memory.insert(entry(&key.to_be_bytes(), "text"), InsertMode::Always);
            }
            memory.retain(&mut |_| Some(RemovalCause::Removed));
        });
    }
}
