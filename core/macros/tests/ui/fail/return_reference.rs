use retainit::retain;

#[retain]
fn elided(id: &str) -> &str {
    id
}

#[retain]
fn named<'a>(id: &'a str) -> Option<&'a str> {
    Some(id)
}

#[retain]
fn path(id: &str) -> Result<std::borrow::Cow<'_, str>, String> {
    Ok(id.into())
}

fn main() {}
