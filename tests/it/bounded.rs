//! `max_entries` of a function: its bound in memory, its sources, and the backends that refuse it.

use retainit::{ErrorKind, EventKind, MemoryConfig, Overrides, RemovalCause, Retainit, retain};
use retainit_testkit::ByteConfig;
use tempfile::TempDir;

use crate::common::{Runs, Stage};

static RUNS: Runs = Runs::new();

#[retain(id = "bounded.few", max_entries = 3)]
async fn few(n: u64) -> u64 {
    n
}

/// Belongs to one test, which counts its runs.
#[retain(id = "bounded.counted", max_entries = 3)]
async fn counted(n: u64) -> u64 {
    RUNS.add();
    n
}

#[retain(id = "bounded.many")]
fn many(n: u64) -> u64 {
    n
}

#[tokio::test]
async fn a_function_keeps_its_bound_in_memory() {
    for policy in ["default", "lru"] {
        let memory = MemoryConfig::new().policy(policy);
        let instance = Retainit::builder().register_backend("default", memory).build().unwrap();
        retainit::with_instance(&instance, async {
            for n in 0..50 {
                many(n);
                few(n).await;
                assert!(few::cache().stats().total_keys <= 3);
            }
            let (few, many) = (few::cache().stats(), many::cache().stats());
            assert_eq!((few.total_keys, few.evictions), (3, 47));
            assert_eq!((many.total_keys, many.evictions), (50, 0), "others are left alone");
            assert!(self::few::cache().get(&49).await.unwrap().is_hit(), "the newest stays");
        })
        .await;
    }
}

// A clock: what was read since it came stays longer than what was not.
#[tokio::test]
async fn what_is_called_again_stays() {
    let stage = Stage::memory();
    let users = stage.retainit.cache::<u64>("bounded.users").max_entries(3).build().unwrap();
    for n in [1, 2, 3] {
        users.set(&n, n).await.unwrap();
    }
    stage.seconds(1);
    assert!(users.get(&1).await.unwrap().is_hit());
    for n in [4, 5] {
        users.get_or_load(&n, || async { n }).await;
    }
    assert!(users.exists(&1).await.unwrap() && !users.exists(&2).await.unwrap());
    users.remove(&1).await.unwrap();
    users.set(&6, 6).await.unwrap();
    users.set(&6, 7).await.unwrap();
    assert_eq!((users.stats().total_keys, users.stats().evictions), (3, 2), "a removal made room");
    assert_eq!(
        stage.retainit.cache::<u64>("bounded.none").max_entries(0).build().unwrap_err().kind(),
        ErrorKind::Config
    );
}

#[tokio::test]
async fn evictions_are_events_and_removals() {
    let stage = Stage::memory();
    let recorded = retainit::testing::record(&stage.retainit, EventKind::CacheEvict);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = std::sync::Arc::clone(&seen);
    let one = stage.retainit.cache::<u64>("bounded.one").max_entries(1);
    let one = one.on_removal(move |key, value, cause| note.lock().unwrap().push((key.to_owned(), *value, cause)));
    let one = one.build().unwrap();
    one.set(&1, 10).await.unwrap();
    one.set(&2, 20).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [("1".to_owned(), 10, RemovalCause::Evicted)]);
    assert_eq!(recorded.take().len(), 1);
}

fn of_file(text: &str) -> (Retainit, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retainit.toml");
    std::fs::write(&file, text).unwrap();
    let builder = Retainit::builder().config_file(file).register_backend("default", MemoryConfig::new());
    (builder.build().unwrap(), folder)
}

#[test]
fn files_set_it_and_take_it_away() {
    let held = |instance: &Retainit| {
        retainit::with_instance_sync(instance, || {
            (0..20).for_each(|n| assert_eq!(many(n), n));
            let explained = many::cache().explain(&19).unwrap();
            let shown = explained.options().iter().find(|option| option.name == "max_entries").unwrap().value.clone();
            (many::cache().stats().total_keys, shown)
        })
    };
    let of = |key: &str, value: &str| of_file(&format!("[retainit.{key}.\"bounded.many\"]\nmax_entries = {value}\n"));
    let (instance, _folder) = of("functions", "5");
    assert_eq!(held(&instance), (5, "5".to_owned()));
    let (instance, _folder) = of("override.functions", "\"unlimited\"");
    assert_eq!(held(&instance), (20, "unlimited".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("retainit.toml");
    std::fs::write(&file, "[retainit.functions.\"bounded.many\"]\nmax_entries = 0\n").unwrap();
    let error = Retainit::builder().config_file(file).build().unwrap_err().to_string();
    assert!(error.contains("expected at least 1, got 0"), "{error}");
}

#[tokio::test]
async fn a_reload_lowers_it() {
    let (instance, folder) = of_file("[retainit.functions.\"bounded.many\"]\nmax_entries = 10\n");
    retainit::with_instance_sync(&instance, || (0..20).for_each(|n| assert_eq!(many(n), n)));
    std::fs::write(folder.path().join("retainit.toml"), "[retainit.functions.\"bounded.many\"]\nmax_entries = 4\n")
        .unwrap();
    instance.reload().unwrap();
    retainit::with_instance_sync(&instance, || {
        many(100);
        assert_eq!(many::cache().stats().total_keys, 4, "from the next store on");
    });
}

// Refused where it cannot be kept, and never ignored.
#[tokio::test]
async fn backends_that_cannot_bound_a_function_refuse_it() {
    for stage in [Stage::bytes(), Stage::local()] {
        let error = stage.retainit.cache::<u64>("bounded.bytes").max_entries(3).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("`max_entries`"), "{error}");

        RUNS.take();
        let answers = stage.run(async { (counted(1).await, counted(1).await) }).await;
        assert_eq!((answers, RUNS.take()), ((1, 1), 2), "it runs uncached");
        let health = stage.retainit.health().await.unwrap().to_string();
        assert!(health.contains("bounded.counted") && health.contains("name a backend in memory"), "{health}");
        let check = stage.retainit.check().unwrap_err().to_string();
        assert!(check.contains("`bounded.counted` has `max_entries`"), "{check}");
    }
    // An override to such a backend too.
    let both = Retainit::builder().register_backend("default", MemoryConfig::new());
    let both = both.register_backend("bytes", ByteConfig::new()).default_backend("default").build().unwrap();
    RUNS.take();
    retainit::with_instance(&both, async {
        counted(1).await;
        retainit::with(Overrides::new().backend("bytes"), counted(1)).await;
    })
    .await;
    assert_eq!((RUNS.take(), both.stats().uncached), (2, 1));
}
