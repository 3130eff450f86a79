use retainit::retain;

struct Opaque;

#[retain(key = "{id}", tags("user:{token}"))]
fn a(id: u64, token: Opaque) -> u64 {
    let _ = token;
    id
}

fn main() {}
