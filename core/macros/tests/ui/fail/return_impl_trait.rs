use retainit::retain;

#[retain]
fn a(n: u8) -> impl Iterator<Item = u8> {
    0..n
}

#[retain]
fn b(n: u8) -> impl Future<Output = u8> {
    async move { n }
}

fn main() {}
