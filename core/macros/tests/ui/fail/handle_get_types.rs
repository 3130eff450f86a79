use retainit::retain;

#[retain]
fn a(id: u64, name: String) -> u64 {
    id + name.len() as u64
}

#[retain]
fn not_owned(names: &[&str]) -> usize {
    names.len()
}

fn main() {
    let _ = a::cache().get(&(1, "x".to_owned()));
    let _ = not_owned::cache().refresh(vec![]);
}
