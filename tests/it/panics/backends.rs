//! Backends and serializers that panic, in each of their methods: no call fails for it, and nothing that panicked
//! counts as acknowledged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use retainit::{Cache, MemoryConfig, Result, Retainit};
use retainit_plugin::{
    Backend, BackendConfig, Built, Bytes, Capabilities, Context, EntryAddress, EntryRef, GroupVersion, InsertMode,
    Inserted, LocalBackend, Moment, NewEntry, ObjectBackend, ObjectFence, Page, Read, ReadValue, RemovalCause, Scan,
    Section, Serializer, Settings, Snapshot, StoreOptions, Stored, Strength, Versions, Visit, async_trait,
    erased_serde,
};
use retainit_testkit::ByteConfig;

use super::wait_for;
use crate::common::{patient, recovered, soon};

/// Selects the method that panics.
#[derive(Clone, Debug, Default)]
struct Switch(Arc<AtomicUsize>);

impl Switch {
    fn at(&self, method: usize) {
        assert_ne!(self.0.load(Ordering::SeqCst), method, "it falls");
    }
}

/// A backend in front of another, that panics where it is set to.
#[derive(Debug)]
struct Falling<B: ?Sized> {
    inner: Arc<B>,
    switch: Switch,
}

impl ObjectBackend for Falling<dyn ObjectBackend> {
    fn capabilities(&self) -> Capabilities {
        self.switch.at(1);
        self.inner.capabilities()
    }
    fn get(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.switch.at(2);
        self.inner.get(place, visit)
    }
    fn peek(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.switch.at(3);
        self.inner.peek(place, visit)
    }
    fn fence(&self, place: EntryAddress) -> ObjectFence {
        self.switch.at(4);
        self.inner.fence(place)
    }
    fn insert(&self, entry: NewEntry<'_>, put: InsertMode<'_>) -> Inserted {
        self.switch.at(5);
        self.inner.insert(entry, put)
    }
    fn remove(&self, place: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.switch.at(6);
        self.inner.remove(place, visit)
    }
    fn break_fences(&self) {
        self.switch.at(7);
        self.inner.break_fences();
    }
    fn retain(&self, keep: &mut dyn FnMut(EntryRef<'_>) -> Option<RemovalCause>) -> usize {
        self.switch.at(8);
        self.inner.retain(keep)
    }
    fn scan(&self, visit: &mut dyn FnMut(EntryRef<'_>)) {
        self.switch.at(9);
        self.inner.scan(visit);
    }
    fn weighs(&self) -> bool {
        self.switch.at(10);
        self.inner.weighs()
    }
    fn len(&self) -> usize {
        self.switch.at(11);
        self.inner.len()
    }
    fn next_deadline(&self) -> Moment {
        self.switch.at(12);
        self.inner.next_deadline()
    }
    fn inserts(&self, place: EntryAddress) -> Option<u64> {
        self.switch.at(13);
        self.inner.inserts(place)
    }
}

impl LocalBackend for Falling<dyn LocalBackend> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.switch.at(2);
        self.inner.read(key, read)
    }
    fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.switch.at(3);
        self.inner.store(key, entry, terms)
    }
    fn remove(&self, key: &str) -> Result<bool> {
        self.switch.at(4);
        self.inner.remove(key)
    }
    fn health(&self) -> Result<()> {
        self.switch.at(5);
        self.inner.health()
    }
    fn scan(&self, scan: Scan) -> Result<Page> {
        self.switch.at(6);
        self.inner.scan(scan)
    }
    fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        self.switch.at(7);
        self.inner.raise(group, strength)
    }
    fn close(&self) -> Result<()> {
        self.switch.at(8);
        self.inner.close()
    }
}

#[async_trait]
impl Backend for Falling<dyn Backend> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        self.switch.at(2);
        self.inner.read(key, read).await
    }
    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        self.switch.at(3);
        self.inner.store(key, entry, terms).await
    }
    async fn remove(&self, key: &str) -> Result<bool> {
        self.switch.at(4);
        self.inner.remove(key).await
    }
    async fn health(&self) -> Result<()> {
        self.switch.at(5);
        self.inner.health().await
    }
    async fn scan(&self, scan: Scan) -> Result<Page> {
        self.switch.at(6);
        self.inner.scan(scan).await
    }
    fn versions(&self) -> Option<&dyn Versions> {
        self.switch.at(7);
        self.inner.versions()
    }
    async fn close(&self) -> Result<()> {
        self.switch.at(8);
        self.inner.close().await
    }
}

#[derive(Clone, Debug)]
struct FallingConfig {
    kind: Kind,
    switch: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Object,
    Local,
    Remote,
}

impl Section for FallingConfig {}

impl BackendConfig for FallingConfig {
    fn type_name(&self) -> &'static str {
        "falling"
    }
    fn settings(&self) -> Settings {
        Settings::default()
    }
    fn build(&self, context: Context) -> Result<Built> {
        self.switch.at(20);
        let switch = self.switch.clone();
        let built = match self.kind {
            Kind::Object => MemoryConfig::new().build(context)?,
            Kind::Local => ByteConfig::new().blocking().build(context)?,
            Kind::Remote => ByteConfig::new().build(context)?,
        };
        Ok(match built {
            Built::Object(inner) => Built::Object(Arc::new(Falling { inner, switch })),
            Built::Local(inner) => Built::Local(Arc::new(Falling { inner, switch })),
            Built::Bytes(inner) => Built::Bytes(Arc::new(Falling { inner, switch })),
            other => panic!("{other:?}"),
        })
    }
    fn to_box(&self) -> Box<dyn BackendConfig> {
        Box::new(self.clone())
    }
}

/// Uses the whole interface, in a state where any part of it may have panicked. Errors are fine, panics and wrong
/// values are not.
fn exercise(instance: &Retainit, cache: &Cache<u64>) {
    let blocking = cache.blocking();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for key in 0..3u64 {
        assert_eq!(blocking.get_or_load(&key, || key), key);
        assert_eq!(runtime.block_on(soon(cache.get_or_load(&(key + 10), async || key + 10))), key + 10);
        assert_eq!(blocking.try_get_or_load(&(key + 20), || Err::<u64, ()>(())), Err(()));
    }
    drop((blocking.get(&0), blocking.set(&0, 0), blocking.set_if_absent(&1, 1), blocking.exists(&0), blocking.ttl(&0)));
    drop((blocking.get_entry(&0), blocking.get_many([0, 1]), blocking.explain(&0), blocking.keys()));
    drop((runtime.block_on(soon(cache.get(&0))), runtime.block_on(soon(cache.set(&0, 0)))));
    drop((runtime.block_on(soon(cache.remove(&2))), runtime.block_on(soon(cache.get_many([0, 1])))));
    drop((instance.blocking().invalidate_tag("t"), instance.blocking().invalidate_pattern("nothing*")));
    drop((instance.blocking().health(), instance.blocking().keys(""), instance.cleanup_expired(), instance.stats()));
    drop((cache.stats(), runtime.block_on(soon(instance.expire_tag("t")))));
}

#[test]
fn no_method_of_a_backend_falls_on_a_call() {
    for kind in [Kind::Object, Kind::Local, Kind::Remote] {
        for method in 1..14 {
            let switch = Switch::default();
            let config = FallingConfig { kind, switch: switch.clone() };
            let builder = patient().register_backend("default", config);
            let instance = builder.build().unwrap();
            let cache: Cache<u64> = instance.cache("falling").tags(["t"]).ttl("1h").build().unwrap();
            exercise(&instance, &cache);
            switch.0.store(method, Ordering::SeqCst);
            let done = catch_unwind(AssertUnwindSafe(|| exercise(&instance, &cache)));
            assert!(done.is_ok(), "{kind:?}, method {method}");
            switch.0.store(0, Ordering::SeqCst);
            wait_for(recovered(&instance));
            exercise(&instance, &cache);
            cache.blocking().set(&0, 7).unwrap();
            assert_eq!(cache.blocking().get_or_load(&0, || 8), 7, "it goes on as before: {kind:?}, method {method}");
            switch.0.store(method, Ordering::SeqCst);
            assert!(catch_unwind(AssertUnwindSafe(|| instance.blocking().close())).is_ok());
        }
    }
}

#[test]
fn a_removal_that_falls_is_not_acknowledged() {
    for (kind, remove) in [(Kind::Object, 6), (Kind::Local, 4), (Kind::Remote, 4)] {
        let switch = Switch::default();
        let config = FallingConfig { kind, switch: switch.clone() };
        let builder = patient().register_backend("default", config);
        let instance = builder.build().unwrap();
        let cache: Cache<u64> = instance.cache("falling").build().unwrap();
        cache.blocking().set(&1, 1).unwrap();
        switch.0.store(remove, Ordering::SeqCst);
        cache.blocking().remove(&1).unwrap_err();
        let pattern = instance.blocking().invalidate_pattern("falling*");
        assert!(kind == Kind::Object || pattern.is_err());
        switch.0.store(0, Ordering::SeqCst);
        cache.blocking().remove(&1).unwrap();
        wait_for(recovered(&instance));
        assert!(cache.blocking().get(&1).unwrap().is_miss());
    }
}

#[test]
fn a_backend_that_falls_while_it_is_built_is_an_error() {
    let switch = Switch::default();
    switch.0.store(20, Ordering::SeqCst);
    let build =
        || Retainit::builder().register_backend("default", FallingConfig { kind: Kind::Object, switch }).build();
    let error = catch_unwind(AssertUnwindSafe(build)).unwrap().unwrap_err();
    assert!(error.to_string().contains("it falls"), "{error}");
}

#[derive(Debug)]
struct FallingSerializer(Switch);

impl Serializer for FallingSerializer {
    fn name(&self) -> &'static str {
        "falling"
    }
    fn is_positional(&self) -> bool {
        self.0.at(1);
        false
    }
    fn can_serialize(&self, _: retainit_plugin::ValueType) -> bool {
        self.0.at(2);
        true
    }
    fn keeps_non_finite(&self) -> bool {
        self.0.at(3);
        true
    }
    fn serialize(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
        self.0.at(4);
        serde_json::to_writer(out, value).unwrap();
        Ok(())
    }
    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
        self.0.at(5);
        let mut input = serde_json::Deserializer::from_slice(input);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut input)).unwrap();
        Ok(())
    }
}

#[retainit::retain(id = "falling.serialized", serializer = "falling")]
fn serialized(n: u64) -> u64 {
    n
}

#[test]
fn no_method_of_a_serializer_falls_on_a_call() {
    for blocking in [false, true] {
        for method in 1..6 {
            let switch = Switch::default();
            let bytes = if blocking { ByteConfig::new().blocking() } else { ByteConfig::new() };
            let builder = Retainit::builder().register_backend("default", bytes);
            let instance = builder.register_serializer("falling", FallingSerializer(switch.clone())).build().unwrap();
            let call = |n| retainit::with_instance_sync(&instance, || serialized(n));
            for falls in [0, method, 0, method] {
                switch.0.store(falls, Ordering::SeqCst);
                let calls = || (call(1), call(1), call(falls as u64 + 2));
                let answers = catch_unwind(AssertUnwindSafe(calls));
                assert_eq!(answers.ok(), Some((1, 1, falls as u64 + 2)), "method {method}");
            }
        }
    }
}
