use retainit::{Event, on};

#[on]
fn of_nothing(event: &Event) {
    println!("{event}");
}

#[on(CacheHitt, cache_miss, Colour)]
fn of_unknown(event: &Event) {
    println!("{event}");
}

#[on(CacheHit, CacheHit)]
fn twice(event: &Event) {
    println!("{event}");
}

#[on(CacheHit = 1, crate = "retainit")]
fn values(event: &Event) {
    println!("{event}");
}

#[on(CacheHit)]
fn by_value(event: Event) {
    println!("{event}");
}

#[on(CacheHit)]
async fn by_reference(event: &Event) {
    println!("{event}");
}

#[on(CacheHit)]
fn none() {}

#[on(CacheHit)]
fn two(event: &Event, other: &Event) {
    println!("{event} {other}");
}

#[on(CacheHit)]
fn generic<T>(event: &Event) {
    println!("{event}");
}

#[on(CacheHit)]
fn returns(event: &Event) -> bool {
    event.key().is_some()
}

struct Monitor;

impl Monitor {
    #[on(CacheHit)]
    fn method(&self, event: &Event) {
        println!("{event}");
    }
}

#[on(CacheHit)]
struct NoFunction;

fn main() {}
