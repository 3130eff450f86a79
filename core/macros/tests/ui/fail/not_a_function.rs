use retainit::retain;

#[retain]
struct S;

trait T {
    #[retain]
    fn a(&self, id: u64) -> u64;
}

#[retain]
mod m {}

fn main() {}
