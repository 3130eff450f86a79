use retainit::retain;

#[retain]
fn first<T: serde::Serialize>(items: Vec<T>) -> T {
    items.into_iter().next().unwrap()
}

fn main() {}
