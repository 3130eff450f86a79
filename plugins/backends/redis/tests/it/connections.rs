//! Connections that are lost, silent or full.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use retainit_plugin::{ErrorKind, Read};
use retainit_redis::RedisConfig;
use retainit_servers::{Redis, Toxiproxy};

use crate::process::Process;

retainit_servers::needs!(redis:
    a_connection_that_was_killed_is_replaced,
    scripts_that_were_flushed_are_sent_again,
    a_password_that_has_changed_is_read_again,
    a_full_connection_refuses_at_once,
);
retainit_servers::needs!(toxiproxy: a_silent_connection_is_replaced, what_nobody_waits_for_keeps_its_place);

/// Repeats an operation until it succeeds, which takes as long as a connection needs to be replaced.
fn until_ok<T>(mut operation: impl FnMut() -> retainit_plugin::Result<T>) -> T {
    let mut last = None;
    for _ in 0..500 {
        match operation() {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never succeeds: {last:?}");
}

fn a_connection_that_was_killed_is_replaced() {
    let mut redis = Redis::start();
    let process = Process::at(&redis.url());
    process.fill("key", "value");
    redis.client().run(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(until_ok(|| process.look("key")).entry.is_some());
    redis.kill();
    let error = until_ok(|| process.look("key").map_or_else(Ok, |_| Err(ErrorKind::Pending.into_error())));
    assert!(error.is_unreachable(), "{error:?}");
    redis.start_again();
    assert!(until_ok(|| process.look("key")).entry.is_none());
}

/// Polls a future once, in the middle of another.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

/// Makes an error to go on with.
trait IntoError {
    fn into_error(self) -> retainit_plugin::Error;
}

impl IntoError for ErrorKind {
    fn into_error(self) -> retainit_plugin::Error {
        retainit_plugin::Error::new(self, "not yet")
    }
}

fn scripts_that_were_flushed_are_sent_again() {
    let redis = Redis::start();
    let process = Process::at(&redis.url());
    process.fill("key", "value");
    redis.client().run(&["SCRIPT", "FLUSH"]);
    assert!(process.run(process.backend.remove("key")).expect("it is sent as a whole"));
    redis.client().run(&["SCRIPT", "FLUSH"]);
    process.fill("key", "value");
}

// T-108
fn a_password_that_has_changed_is_read_again() {
    let redis = Redis::options().set(["requirepass", "old"]).start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "old\n").expect("it can be written");
    let source = format!("file:{}", file.display());
    let process = Process::new(&RedisConfig::new(&*redis.url()).password(&*source));
    process.fill("key", "value");
    let mut client = redis.client();
    client.run(&["AUTH", "old"]);
    client.run(&["CONFIG", "SET", "requirepass", "new"]);
    client.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let refused = until_ok(|| process.look("key").map_or_else(Ok, |_| Err(ErrorKind::Pending.into_error())));
    std::fs::write(&file, "new\n").expect("it can be written");
    assert!(until_ok(|| process.look("key")).entry.is_some(), "{refused:?}");
}

fn a_full_connection_refuses_at_once() {
    let redis = Redis::start();
    let process = Process::new(&RedisConfig::new(&*redis.url()).max_in_flight(8));
    process.fill("key", "value");
    redis.pause();
    let reads = (0..20).map(|_| process.backend.read("key", Read::peek()));
    let (full, waiting) = process.run(async {
        let mut reads: Vec<_> = reads.collect();
        let (mut full, mut waiting) = (0, 0);
        for read in &mut reads {
            match poll_once(read).await {
                Poll::Ready(Err(error)) => {
                    assert!(error.field() == Some("max_in_flight") && !error.is_unreachable(), "{error:?}");
                    full += 1;
                }
                Poll::Ready(Ok(found)) => panic!("it was answered: {found:?}"),
                Poll::Pending => waiting += 1,
            }
        }
        (full, waiting)
    });
    redis.resume();
    assert_eq!((full, waiting), (12, 8));
    assert!(until_ok(|| process.look("key")).entry.is_some());
}

//
fn a_silent_connection_is_replaced() {
    let (redis, toxiproxy) = (Redis::start(), Toxiproxy::start());
    let proxy = toxiproxy.proxy(redis.port());
    let process = Process::new(&RedisConfig::new(&*proxy.url()).response_timeout("200ms").connect_timeout("200ms"));
    process.fill("key", "value");
    // Only the connection that is there falls silent: the address leads to a new one afterwards.
    proxy.swallow();
    let error = process.look("key").expect_err("it never answers");
    assert!(error.is_unreachable(), "{error:?}");
    let error = process.look("key").expect_err("a new one does not either");
    assert!(error.is_unreachable(), "{error:?}");
    proxy.release();
    assert!(until_ok(|| process.look("key")).entry.is_some());
}

fn what_nobody_waits_for_keeps_its_place() {
    let (redis, toxiproxy) = (Redis::start(), Toxiproxy::start());
    let proxy = toxiproxy.proxy(redis.port());
    let process = Process::new(&RedisConfig::new(&*proxy.url()).max_in_flight(4));
    process.fill("key", "value");
    proxy.delay(300);
    process.run(async {
        for _ in 0..4 {
            let mut read = process.backend.read("key", Read::peek());
            assert!(poll_once(&mut read).await.is_pending());
            // Given up: it is on its way all the same.
            drop(read);
        }
        let error = process.backend.read("key", Read::peek()).await.expect_err("four are on their way");
        assert_eq!(error.field(), Some("max_in_flight"));
    });
    assert!(until_ok(|| process.look("key")).entry.is_some());
}
