use retainit::retain;

#[retain]
fn a(id: u64) {
    let _ = id;
}

#[retain]
async fn b(id: u64) -> () {
    let _ = id;
}

#[retain]
fn c() -> ! {
    panic!()
}

fn main() {}
