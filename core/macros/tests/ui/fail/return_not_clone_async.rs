use retainit::retain;

pub struct User {
    pub name: String,
}

#[retain(ttl = "5m")]
pub async fn user(id: u64) -> Result<User, String> {
    Ok(User { name: id.to_string() })
}

fn main() {}
