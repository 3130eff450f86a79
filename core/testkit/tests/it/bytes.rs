use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use retainit_plugin::{
    Backend, BackendConfig, Built, Bytes, Capabilities, Context, Error, ErrorKind, Fence, GroupVersion, LocalBackend,
    Moment, Page, Read, Result, Scan, Seal, Snapshot, StoreCondition, StoreOptions, Stored, Strength, Ttl, Versions,
    WantedFence, async_trait,
};
use retainit_testkit::conformance::{self, ByteSuite};
use retainit_testkit::{ByteBackend, ByteConfig, ManualClock, Op, context, observed};

const LEASE: Duration = Duration::from_secs(30);

fn build(config: &ByteConfig) -> impl Fn(Context) -> Built + Send + Sync + use<> {
    let config = config.clone();
    move |context| config.share().build(context).expect("the configuration is sound")
}

/// Builds a process whose connection is down.
fn unreachable(config: &ByteConfig) -> impl Fn(Context) -> Built + Send + Sync + use<> {
    let config = config.clone();
    move |context| {
        let process = config.share();
        process.faults().fail_always(Op::All);
        process.build(context).expect("the configuration is sound")
    }
}

//
#[test]
fn the_async_face_passes_every_case() {
    for config in [ByteConfig::new(), ByteConfig::new().long_fences()] {
        let store = config.store();
        let suite = ByteSuite::new(build(&config)).unreachable(unreachable(&config));
        let suite = suite.lose_versions(move || store.lose_versions());
        assert_eq!(suite.run().skipped, []);
    }
}

//
#[test]
fn the_blocking_face_passes_every_case_but_those_about_futures() {
    let config = ByteConfig::new().blocking();
    let store = config.store();
    let suite = ByteSuite::new(build(&config)).unreachable(unreachable(&config));
    let suite = suite.lose_versions(move || store.lose_versions());
    let skipped: Vec<_> = suite.run().skipped.into_iter().map(|(case, _)| case).collect();
    assert_eq!(
        skipped,
        [
            "what_was_given_up_does_not_follow_a_removal",
            "a_placeholder_is_kept_while_it_is_renewed",
            "what_is_released_is_an_empty_slot",
            "what_is_of_another_is_neither_renewed_nor_released",
            "a_dropped_future_leaves_the_store_in_order",
        ]
    );
}

#[test]
fn what_is_not_declared_is_refused_and_skipped() {
    for config in [ByteConfig::new(), ByteConfig::new().blocking()] {
        let report = conformance::bytes(build(&config.capabilities(Capabilities::none())));
        assert!(report.passed.contains(&"what_is_not_declared_is_refused"));
        let reason = |case| report.skipped.iter().find(|(name, _)| *name == case);
        let (_, why) = reason("a_prefix_is_no_pattern").expect("it needs a scan");
        assert_eq!(why, "the backend has no `scan`");
    }
}

#[test]
fn versions_that_are_not_declared_are_refused_in_a_read() {
    let config = ByteConfig::new().capabilities(Capabilities::none().fences());
    let backend = config.open(&context("main"));
    let groups = ["g"];
    let error = LocalBackend::read(&backend, "k", Read::peek().groups(&groups)).expect_err("no versions");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_fence_ends_with_its_lease() {
    let (context, clock, _) = observed("main");
    let config = ByteConfig::new();
    let backend = config.open(&context);
    let fence = fence(&backend, "k");
    assert_eq!(config.store().placeholders(), ["k"]);
    clock.advance(LEASE);
    assert_eq!(config.store().placeholders(), [] as [String; 0]);
    assert_eq!(store(&backend, "k", StoreCondition::Fenced(fence)), Stored::Refused);
}

#[test]
fn concurrent_loaders_share_a_placeholder() {
    let config = ByteConfig::new();
    let (one, other) = (config.open(&context("one")), config.share().open(&context("other")));
    assert_eq!(fence(&one, "k"), fence(&other, "k"));
}

#[test]
fn a_store_extends_its_versions_and_a_refused_one_does_not() {
    let (context, clock, _) = observed("main");
    let config = ByteConfig::new();
    let backend = config.open(&context);
    let groups = ["g"];
    LocalBackend::raise(&backend, groups[0], Strength::Hard).expect("raise");
    let deadline = || config.store().version_deadline(groups[0]);
    let before = deadline();
    let day = Duration::from_secs(86_400);
    let put = |when| {
        let terms = StoreOptions::new(when).ttl(Some(day)).groups(&groups);
        LocalBackend::store(&backend, "k", Bytes::from("v"), terms).expect("store")
    };
    assert_eq!(put(StoreCondition::Fenced(Fence::number(1))), Stored::Refused);
    assert_eq!(deadline(), before);
    assert_eq!(put(StoreCondition::Always), Stored::Yes);
    assert_eq!(deadline(), config.store().deadline("k"));
    clock.advance(day);
    assert_eq!((deadline(), config.store().entry("k")), (None, None));
    let terms = StoreOptions::new(StoreCondition::Always).groups(&groups);
    let fresh = LocalBackend::read(&backend, "k", Read::take(LEASE).groups(&groups)).expect("read");
    assert_eq!(LocalBackend::store(&backend, "k", Bytes::new(), terms).expect("store"), Stored::Yes);
    assert_eq!(deadline(), Some(Moment::NEVER));
    assert_eq!(config.store().version(groups[0]), fresh.versions[0]);
}

#[test]
fn the_store_shows_and_takes_entries_from_outside() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    let taken = fence(&backend, "k");
    config.store().put("k", "corrupt");
    assert_eq!(config.store().keys(), ["k"]);
    assert_eq!(store(&backend, "k", StoreCondition::Fenced(taken)), Stored::Refused, "a foreign store");
    let found = LocalBackend::read(&backend, "k", Read::peek()).expect("read").entry;
    assert_eq!(found, Some("corrupt".into()));
    config.store().flush();
    assert_eq!(config.store().entry("k"), None);
}

#[test]
fn a_configured_clock_goes_before_the_one_of_the_instance() {
    let (context, of_instance, _) = observed("main");
    let configured = ManualClock::new();
    let config = ByteConfig::new().clock(configured.clone());
    let backend = config.open(&context);
    let terms = StoreOptions::new(StoreCondition::Always).ttl(Some(LEASE));
    LocalBackend::store(&backend, "k", Bytes::from("v"), terms).expect("store");
    of_instance.advance(LEASE);
    assert_eq!(config.store().keys(), ["k"]);
    configured.advance(LEASE);
    assert_eq!(config.store().keys(), [] as [String; 0]);
}

#[test]
fn settings_are_handed_on_and_all_problems_are_reported() {
    let config = ByteConfig::new().ttl("5m").jitter(0.2);
    assert_eq!(config.type_name(), "bytes");
    let settings = config.settings();
    assert_eq!(settings.ttl, Some(Ttl::For(Duration::from_secs(300))));
    assert_eq!(settings.jitter, Some(0.2));
    let error = config.ttl("5q").jitter(f64::NAN).build(context("main")).expect_err("two problems");
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("ttl:") && text.contains("jitter:") && text.contains("main"), "{text}");
}

/// A byte backend with one promise broken.
#[derive(Debug)]
struct Broken {
    inner: ByteBackend,
    flaw: Flaw,
}

#[derive(Clone, Copy, Debug)]
enum Flaw {
    FencesHoldNothing,
    RemovalLeavesTheFence,
    PlaceholdersAreShown,
    AbsentReplaces,
    AbsenceIsAFence,
    TtlIsIgnored,
    LooksTake,
    LooksMakeVersions,
    ReleasesAnything,
}

#[async_trait]
impl Backend for Broken {
    fn capabilities(&self) -> Capabilities {
        Backend::capabilities(&self.inner)
    }

    async fn read(&self, key: &str, mut read: Read<'_>) -> Result<Snapshot> {
        match (self.flaw, read.fence) {
            (Flaw::LooksTake, WantedFence::Seen) => read.fence = WantedFence::Take(LEASE),
            (Flaw::LooksMakeVersions, _) if !read.groups.is_empty() => read.fence = WantedFence::Take(LEASE),
            _ => {}
        }
        let mut found = Backend::read(&self.inner, key, read).await?;
        if matches!(self.flaw, Flaw::PlaceholdersAreShown) && found.fence.is_some() {
            found.entry.get_or_insert_default();
        }
        Ok(found)
    }

    async fn store(&self, key: &str, entry: Bytes, mut terms: StoreOptions<'_>) -> Result<Stored> {
        match (self.flaw, terms.when) {
            (Flaw::FencesHoldNothing, StoreCondition::Fenced(_)) => terms.when = StoreCondition::Always,
            (Flaw::AbsenceIsAFence, StoreCondition::Fenced(_))
                if Backend::read(&self.inner, key, Read::seen()).await?.fence.is_none() =>
            {
                terms.when = StoreCondition::Always;
            }
            (Flaw::TtlIsIgnored, _) => terms.ttl = None,
            _ => {}
        }
        Backend::store(&self.inner, key, entry, terms).await
    }

    async fn store_with(&self, key: &str, seal: &mut Seal<'_>, mut terms: StoreOptions<'_>) -> Result<Stored> {
        match (self.flaw, terms.when) {
            (Flaw::AbsentReplaces, StoreCondition::Absent) => terms.when = StoreCondition::Always,
            (Flaw::TtlIsIgnored, _) => terms.ttl = None,
            _ => {}
        }
        Backend::store_with(&self.inner, key, seal, terms).await
    }

    async fn renew(&self, key: &str, fence: Fence, lease: Duration) -> Result<bool> {
        Backend::renew(&self.inner, key, fence, lease).await
    }

    async fn release(&self, key: &str, fence: Fence) -> Result<bool> {
        let released = Backend::release(&self.inner, key, fence).await?;
        match self.flaw {
            Flaw::ReleasesAnything => Backend::remove(&self.inner, key).await.map(|_| true),
            _ => Ok(released),
        }
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        let there = Backend::read(&self.inner, key, Read::peek()).await?.entry.is_some();
        if matches!(self.flaw, Flaw::RemovalLeavesTheFence) && !there {
            return Ok(false);
        }
        Backend::remove(&self.inner, key).await
    }

    async fn health(&self) -> Result<()> {
        Backend::health(&self.inner).await
    }

    async fn scan(&self, scan: Scan) -> Result<Page> {
        Backend::scan(&self.inner, scan).await
    }

    fn versions(&self) -> Option<&dyn Versions> {
        Some(self)
    }

    async fn close(&self) -> Result<()> {
        Backend::close(&self.inner).await
    }
}

#[async_trait]
impl Versions for Broken {
    async fn raise(&self, group: &str, strength: Strength) -> Result<GroupVersion> {
        Versions::raise(&self.inner, group, strength).await
    }
}

#[test]
fn the_suite_finds_a_backend_that_hides_that_it_cannot_be_reached() {
    let config = ByteConfig::new();
    let mute = config.clone();
    let mute = move |context: Context| {
        let process = mute.share();
        process.faults().break_down(Op::All, u64::MAX);
        process.build(context).expect("the configuration is sound")
    };
    let suite = ByteSuite::new(build(&config)).unreachable(mute);
    let panic = catch_unwind(AssertUnwindSafe(|| suite.run())).expect_err("its errors say nothing");
    let message = panic.downcast_ref::<String>().expect("the suite says what failed");
    assert!(message.contains("what_cannot_be_reached_says_so"), "{message}");
}

#[test]
fn the_suite_finds_what_is_broken_and_names_the_case() {
    for (flaw, case) in [
        (Flaw::FencesHoldNothing, "a_removal_refuses_the_load_under_way"),
        (Flaw::RemovalLeavesTheFence, "a_removal_refuses_the_load_under_way"),
        (Flaw::PlaceholdersAreShown, "a_fenced_read_of_an_empty_slot_shows_nothing"),
        (Flaw::AbsentReplaces, "absent_goes_only_into_an_empty_slot"),
        (Flaw::AbsenceIsAFence, "a_removal_refuses_the_load_under_way"),
        (Flaw::LooksTake, "a_look_writes_nothing"),
        (Flaw::LooksMakeVersions, "a_missing_version_is_made_by_a_take_only"),
        (Flaw::ReleasesAnything, "what_is_of_another_is_neither_renewed_nor_released"),
        (Flaw::TtlIsIgnored, "an_entry_goes_when_its_ttl_ends"),
    ] {
        let config = ByteConfig::new();
        let make = move |context: Context| {
            let inner = config.share().open(&context);
            Built::Bytes(std::sync::Arc::new(Broken { inner, flaw }))
        };
        let panic = catch_unwind(AssertUnwindSafe(|| conformance::bytes(make))).expect_err("it is broken");
        let message = panic.downcast_ref::<String>().expect("the suite says what failed");
        assert!(message.contains(case), "{flaw:?} gave: {message}");
    }
}

/// A backend with which others remove the key just before it is stored, so often.
#[derive(Debug)]
struct Raced {
    inner: ByteBackend,
    removals: AtomicUsize,
}

#[async_trait]
impl Backend for Raced {
    fn capabilities(&self) -> Capabilities {
        Backend::capabilities(&self.inner)
    }

    async fn read(&self, key: &str, read: Read<'_>) -> Result<Snapshot> {
        Backend::read(&self.inner, key, read).await
    }

    async fn store(&self, key: &str, entry: Bytes, terms: StoreOptions<'_>) -> Result<Stored> {
        assert!(matches!(terms.when, StoreCondition::Fenced(_)), "an unconditional store over a network");
        if self.removals.load(Ordering::Relaxed) > 0 {
            self.removals.fetch_sub(1, Ordering::Relaxed);
            Backend::remove(&self.inner, key).await?;
        }
        Backend::store(&self.inner, key, entry, terms).await
    }

    async fn remove(&self, key: &str) -> Result<bool> {
        Backend::remove(&self.inner, key).await
    }

    async fn health(&self) -> Result<()> {
        Backend::health(&self.inner).await
    }
}

#[tokio::test]
async fn what_nobody_loaded_is_stored_again_after_a_removal_until_it_is_given_up() {
    for (removals, seals, stored) in [(0, 1, Stored::Yes), (1, 2, Stored::Yes), (usize::MAX, 8, Stored::Refused)] {
        for when in [StoreCondition::Always, StoreCondition::Absent] {
            let config = ByteConfig::new();
            let raced = Raced { inner: config.open(&context("raced")), removals: removals.into() };
            let mut sealed = 0;
            let mut seal = |versions: &[Option<GroupVersion>]| {
                sealed += 1;
                assert!(versions[0].is_some(), "a take makes what is missing");
                Ok(Bytes::from("v"))
            };
            let terms = StoreOptions::new(when).groups(&["g"]);
            assert_eq!(raced.store_with("k", &mut seal, terms).await.expect("store"), stored);
            assert_eq!(sealed, seals);
            assert_eq!(config.store().entry("k").is_some(), stored == Stored::Yes);
        }
    }
}

#[tokio::test]
async fn a_seal_that_fails_gives_the_placeholder_back() {
    let config = ByteConfig::new();
    let backend = config.open(&context("main"));
    let mut seal = |_: &[Option<GroupVersion>]| Err(Error::new(ErrorKind::Codec, "it cannot be sealed"));
    let terms = StoreOptions::new(StoreCondition::Always);
    let error = Backend::store_with(&backend, "k", &mut seal, terms).await.expect_err("nothing to store");
    assert_eq!(error.kind(), ErrorKind::Codec);
    assert_eq!(config.store().placeholders(), [] as [String; 0]);
}

fn fence(backend: &ByteBackend, key: &str) -> Fence {
    let snapshot = LocalBackend::read(backend, key, Read::take(LEASE)).expect("read");
    snapshot.fence.expect("fences are declared")
}

fn store(backend: &ByteBackend, key: &str, when: StoreCondition) -> Stored {
    LocalBackend::store(backend, key, Bytes::from("v"), StoreOptions::new(when)).expect("store")
}
