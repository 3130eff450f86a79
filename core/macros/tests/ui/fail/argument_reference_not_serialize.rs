use retainit::retain;

struct Pool;

#[retain]
async fn user(db: &Pool, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
