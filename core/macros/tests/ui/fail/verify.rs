use retainit::retain;

#[derive(Clone)]
struct User;

#[retain(verify = 0.01)]
fn user(id: u64) -> Result<User, String> {
    let _ = id;
    Ok(User)
}

#[retain(ttl = "5m", verify = 1)]
fn generic<T: Clone + Send + Sync + serde::Serialize + 'static>(value: T) -> Vec<T> {
    vec![value]
}

#[retain(verify = 1.5)]
fn more_than_all(id: u64) -> u64 {
    id
}

#[retain(verify = -0.5)]
fn less_than_none(id: u64) -> u64 {
    id
}

fn main() {}
