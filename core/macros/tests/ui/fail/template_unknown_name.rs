use retainit::retain;

#[retain(key = "user:{idd}", tags("{region}", "{self.x}"))]
fn a(id: u64) -> u64 {
    id
}

#[retain(key = "{}/{}")]
fn b(id: u64) -> u64 {
    id
}

#[retain(key = "{x}")]
fn c() -> u64 {
    1
}

fn main() {}
