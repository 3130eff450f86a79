use retainit::{Event, on};

#[on(CacheHit)]
fn another_type(event: &String) {
    println!("{event}");
}

#[on(CacheHit)]
async fn not_send(event: Event) {
    let here = std::rc::Rc::new(event);
    std::future::ready(()).await;
    println!("{here}");
}

fn main() {}
