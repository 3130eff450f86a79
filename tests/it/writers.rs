//! `#[retain_put]` and `#[invalidate]`: functions that write.

use std::sync::Mutex;
use std::time::Duration;

use retainit::{Overrides, Retainit, invalidate, retain, retain_put};
use retainit_testkit::{ByteConfig, Op};

use crate::common::{Gate, Runs, Stage, soon};

static LOADS: Runs = Runs::new();
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[retain(id = "writers.user", ttl = "1m", tags("users", "user:{id}"))]
async fn user(id: u64) -> Result<String, String> {
    Ok(format!("{id} loaded {}", LOADS.add()))
}

#[retain_put(of = user, key = (id,))]
async fn rename(id: u64, name: &str) -> Result<String, String> {
    if name.is_empty() { Err(format!("{id} has no name")) } else { Ok(format!("{id} {name}")) }
}

#[invalidate(of = user, key = (id,))]
async fn forget(id: u64, ok: bool) -> Result<u64, String> {
    if ok { Ok(id) } else { Err("no".to_owned()) }
}

#[invalidate(of = user)]
async fn forget_all() {}

#[invalidate(tags("user:{id}"))]
async fn forget_by_tag(id: u64) {
    let _ = id;
}

// "stores the result with the ttl, tags and scope of `user`"
#[tokio::test]
async fn retain_put_stores_with_the_ttl_and_tags_of_the_function() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        LOADS.take();
        let get = async || stage.run(user(1)).await.unwrap();
        assert_eq!(stage.run(rename(1, "Ann")).await.as_deref(), Ok("1 Ann"));
        assert_eq!((get().await, LOADS.so_far()), ("1 Ann".to_owned(), 0));
        assert_eq!(stage.run(user::cache().ttl(&1)).await.unwrap(), Some(Some(Duration::from_secs(60))));
        stage.seconds(60);
        assert_eq!(get().await, "1 loaded 1");
        stage.run(rename(1, "Bob")).await.unwrap();
        assert_eq!(get().await, "1 Bob");
        assert_eq!(stage.run(rename(1, "")).await, Err("1 has no name".to_owned()));
        assert_eq!(get().await, "1 Bob", "a write that failed changes nothing");
        stage.retainit.invalidate_tag("user:1").await.unwrap();
        assert_eq!(get().await, "1 loaded 2");
    }
}

// `#[invalidate]` acts after success and before the function returns.
#[tokio::test]
async fn invalidate_by_key_by_function_and_by_tag() {
    let _alone = ONE_AT_A_TIME.lock().await;
    for stage in Stage::each() {
        LOADS.take();
        let loads = async || {
            stage.run(user(1)).await.unwrap();
            stage.run(user(2)).await.unwrap();
            LOADS.take()
        };
        assert_eq!((loads().await, loads().await), (2, 0));
        assert_eq!(stage.run(forget(1, false)).await, Err("no".to_owned()));
        assert_eq!(loads().await, 0, "after success only");
        assert_eq!(stage.run(forget(1, true)).await, Ok(1));
        assert_eq!(loads().await, 1);
        stage.run(forget_by_tag(2)).await;
        assert_eq!(loads().await, 1);
        stage.run(forget_all()).await;
        assert_eq!(loads().await, 2);
    }
}

static DB: Mutex<u64> = Mutex::new(0);
static READING: Gate = Gate::new();

#[retain(id = "writers.row")]
async fn row(id: u64) -> u64 {
    let read = *DB.lock().unwrap() + id;
    READING.pass().await;
    read
}

#[retain_put(of = row, key = (id,))]
async fn write_row(id: u64, value: u64) -> u64 {
    *DB.lock().unwrap() = value;
    value + id
}

// A load that began before a write never overwrites what it wrote.
#[tokio::test]
async fn a_load_under_way_never_overwrites_a_write() {
    for stage in Stage::each() {
        *DB.lock().unwrap() = 1;
        let load = tokio::spawn(retainit::with_instance(&stage.retainit, row(0)));
        READING.reached().await;
        assert_eq!(stage.run(write_row(0, 2)).await, 2);
        READING.open();
        assert_eq!(soon(load).await.unwrap(), 1);
        assert_eq!(soon(stage.run(row(0))).await, 2);
    }
}

static FOUND: Mutex<Option<u64>> = Mutex::new(None);

#[retain(id = "writers.found")]
fn found(id: u64) -> Option<u64> {
    FOUND.lock().unwrap().map(|n| n + id)
}

#[retain_put(of = found, key = id)]
fn write_found(id: u64, value: Option<u64>) -> Option<u64> {
    *FOUND.lock().unwrap() = value;
    value.map(|n| n + id)
}

#[retain_put(of = found, key = id)]
fn write_elsewhere(id: u64, value: Option<u64>) -> Option<u64> {
    *FOUND.lock().unwrap() = value;
    value.map(|n| n + id)
}

// A write that stores nothing leaves nothing old: a None that is not kept, a backend hidden by an override, `disabled`.
#[test]
fn a_write_never_leaves_the_old_value() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    for stage in Stage::each() {
        stage.run_sync(|| {
            write_found(0, Some(1));
            assert_eq!(found(0), Some(1));
            write_found(0, None);
            assert_eq!(found(0), None, "a none is not stored, and the old value is gone");

            write_found(0, Some(1));
            retainit::disabled_sync(|| write_elsewhere(0, Some(2)));
            assert_eq!(found(0), Some(2), "under `disabled`");
            retainit::with_sync(Overrides::new().backend("memory"), || write_elsewhere(0, Some(3)));
            assert_eq!(found(0), Some(3), "in another backend");
            retainit::with_sync(Overrides::new().ttl("off"), || write_elsewhere(0, Some(4)));
            assert_eq!(found(0), Some(4), "under a ttl that stores nothing");
            retainit::with_sync(Overrides::new().backend("nowhere"), || write_elsewhere(0, Some(5)));
            assert_eq!(found(0), Some(5), "under an override that cannot be used");
        });
    }
}

// A refresh that brings nothing to store leaves nothing old either; one that fails leaves what there is.
#[test]
fn a_refresh_never_leaves_the_old_value() {
    let _alone = ONE_AT_A_TIME.blocking_lock();
    for stage in Stage::each() {
        stage.run_sync(|| {
            write_found(0, Some(1));
            *FOUND.lock().unwrap() = None;
            assert_eq!(found::cache().refresh(0), None);
            assert!(found::cache().get(&0).unwrap().is_miss());
        });
    }
}

#[retain(id = "writers.report")]
fn report(region: &str, year: u16) -> String {
    format!("{region} {year} {}", LOADS_OF_REPORT.add())
}

static LOADS_OF_REPORT: Runs = Runs::new();

struct Editor {
    region: String,
}

impl Editor {
    #[retain_put(of = report, key = (&self.region, year))]
    fn edit(&self, year: u16, mut text: String) -> String {
        text.push('!');
        text
    }

    #[invalidate(of = report, key = (&self.region, 2020))]
    #[invalidate(of = report, key = ("us", 2020))]
    fn drop_both(&mut self) {
        self.region = "nowhere".to_owned();
    }
}

// Several stack; keys are taken before the body runs; methods and sync functions too.
#[test]
fn writers_that_are_methods_and_writers_that_stack() {
    for stage in Stage::each() {
        LOADS_OF_REPORT.take();
        stage.run_sync(|| {
            let mut editor = Editor { region: "eu".to_owned() };
            assert_eq!(editor.edit(2020, "text".to_owned()), "text!");
            assert_eq!((report("eu", 2020), report("us", 2020)), ("text!".into(), "us 2020 1".into()));
            editor.drop_both();
            assert_eq!((report("eu", 2020), report("us", 2020)), ("eu 2020 2".into(), "us 2020 3".into()));
        });
    }
}

// A cache's failure is reported and never becomes the writer's failure.
#[tokio::test]
async fn writers_answer_when_the_cache_does_not() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let stage = Stage::bytes();
    stage.bytes.as_ref().unwrap().faults().fail_always(retainit_testkit::Op::All);
    assert_eq!(stage.run(rename(9, "Ann")).await.as_deref(), Ok("9 Ann"));
    assert_eq!(stage.run(forget(9, true)).await, Ok(9));
    stage.run(forget_all()).await;
    stage.run(forget_by_tag(9)).await;
    let lost = stage.retainit.close().await.unwrap_err();
    assert_eq!(lost.kind(), retainit::ErrorKind::Pending);
    assert_eq!(stage.run(rename(9, "Ann")).await.as_deref(), Ok("9 Ann"));
}

static UNWRITTEN: Mutex<f64> = Mutex::new(1.0);

#[retain(id = "writers.ratio", serializer = "json")]
fn ratio(_id: u64) -> f64 {
    *UNWRITTEN.lock().unwrap()
}

#[retain_put(of = ratio, key = (id,))]
fn write_ratio(id: u64, value: f64) -> f64 {
    assert!(id > 0);
    *UNWRITTEN.lock().unwrap() = value;
    value
}

#[retain_put(of = ratio, key = (id,))]
async fn write_ratio_later(id: u64, value: f64) -> f64 {
    assert!(id > 0);
    *UNWRITTEN.lock().unwrap() = value;
    value
}

// A write that cannot be stored leaves nothing old: a value the serializer refuses, a backend that fails.
#[tokio::test]
async fn a_write_that_fails_never_leaves_the_old_value() {
    let config = ByteConfig::new();
    let faults = config.faults();
    let instance = Retainit::builder().register_backend("main", config).build().unwrap();
    let call = |id| retainit::with_instance_sync(&instance, || ratio(id));
    for (id, is_sync) in [(1, true), (2, false)] {
        let write = async |value| {
            if is_sync {
                retainit::with_instance_sync(&instance, || write_ratio(id, value));
            } else {
                retainit::with_instance(&instance, write_ratio_later(id, value)).await;
            }
        };
        write(1.0).await;
        assert_eq!(call(id), 1.0);
        write(f64::NAN).await;
        assert!(call(id).is_nan(), "JSON has no NaN");
        write(2.0).await;
        assert_eq!(call(id), 2.0);
        faults.fail(Op::Store, 1);
        write(3.0).await;
        assert_eq!(call(id), 3.0);
    }
}
