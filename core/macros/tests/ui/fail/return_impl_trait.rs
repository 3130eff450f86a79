use retainit::retain;

#[retain]
fn a(n: u8) -> impl Iterator<Item = u8> {
    0..n
}

#[retain]
fn b(n: u8) -> impl Future<Output = u8> {
    async move { n }
}

#[retain]
fn c(n: u8) -> std::pin::Pin<Box<dyn Future<Output = u8> + Send>> {
    Box::pin(async move { n })
}

fn main() {}
