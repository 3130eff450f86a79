use retainit::{retain, retain_put};

#[derive(Clone)]
pub struct User;

type Loaded<T> = Result<T, String>;

#[retain]
fn user(id: u64) -> Loaded<User> {
    if id == 0 { Err(String::new()) } else { Ok(User) }
}

#[retain]
async fn found(id: u64) -> Option<u64> {
    Some(id)
}

#[retain(key = id + 1)]
fn number(id: u64) -> u64 {
    id
}

#[retain_put(of = user, key = (id,))]
fn another_type(id: u64) -> Loaded<String> {
    Ok(id.to_string())
}

#[retain_put(of = found, key = (id,))]
async fn no_option(id: u64) -> u64 {
    id
}

#[retain_put(of = number, key = (id,))]
fn another_width(id: u64) -> Result<u32, String> {
    u32::try_from(id).map_err(|error| error.to_string())
}

mod elsewhere {
    #[retainit::retain_put(of = super::number, key = (id,))]
    pub fn behind_an_arc(id: u64) -> std::sync::Arc<u64> {
        id.into()
    }
}

fn main() {}
