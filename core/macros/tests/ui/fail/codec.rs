use retainit::retain;

#[retain(serializer = "")]
fn empty(id: u64) -> u64 {
    id
}

#[retain(codec = "json+zstd+aes-gcm")]
fn compressed(id: u64) -> u64 {
    id
}

#[retain(codec = "json+")]
fn broken(id: u64) -> u64 {
    id
}

#[retain(serializer = "json", codec = "json")]
fn twice(id: u64) -> u64 {
    id
}

fn main() {}
