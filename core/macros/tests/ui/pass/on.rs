//! Handlers in every place and of both kinds.
#![deny(warnings)]

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use retainit::{Event, EventKind, on, retain};

#[on(
    CacheHit, CacheMiss, CacheSet, CacheDelete, CacheClear, CacheError, CacheEvict, FunctionCallStart, FunctionCallEnd,
    FunctionError, BackendInit, BackendClose, BreakerChange, BackplaneChange, NearCapacity, VerifyMismatch,
    EventsDropped, Security, ConfigChange
)]
fn every_kind(event: &Event) {
    println!("{event}");
}

static HEARD: Mutex<Option<Sender<EventKind>>> = Mutex::new(None);

#[on(CacheHit, CacheMiss)]
fn hits_and_misses(event: &Event) {
    if let Some(heard) = &*HEARD.lock().unwrap() {
        heard.send(event.kind()).unwrap();
    }
}

#[retain]
fn square(n: u64) -> u64 {
    n * n
}

/// Hits in memory are heard too.
fn check_hits() {
    let (heard, events): (_, Receiver<EventKind>) = channel();
    *HEARD.lock().unwrap() = Some(heard);
    assert_eq!((square(2), square(2), square(3)), (4, 4, 9));
    for kind in [EventKind::CacheMiss, EventKind::CacheHit, EventKind::CacheMiss] {
        assert_eq!(events.recv_timeout(Duration::from_secs(20)), Ok(kind));
    }
}

#[on(CacheHit)]
pub async fn owned(event: Event) {
    std::future::ready(()).await;
    println!("{event}");
}

#[on(CacheHit)]
#[cfg(any())]
fn not_here(event: &Event) {
    println!("{event}");
}

/// A function may still be called.
#[on(CacheMiss)]
pub fn r#match<'a>(_: &'a Event) -> () {}

mod framework {
    pub use retainit;
}

mod inner {
    #[super::framework::retainit::on(CacheClear, crate = crate::framework::retainit)]
    fn elsewhere(event: &retainit::Event) {
        println!("{event}");
    }
}

fn main() {
    #[on(CacheHit)]
    fn inside(event: &Event) {
        println!("{event}");
    }

    // As many as the attribute knows, and the first handler names.
    assert_eq!(EventKind::ALL.len(), 19);
    check_hits();
}
