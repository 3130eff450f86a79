use retainit::retain;

#[retain(skip(tokn, self))]
fn a(id: u64, token: String) -> u64 {
    id + token.len() as u64
}

#[retain(key = "{id}", skip(nothing))]
fn b(id: u64) -> u64 {
    id
}

fn main() {}
