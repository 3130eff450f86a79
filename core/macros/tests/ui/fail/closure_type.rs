use retainit::retain;

#[retain(when = |r: &String| r.is_empty())]
fn a(id: u64) -> u64 {
    id
}

#[retain(when = |r| r.is_some(), handle = off)]
fn b(id: u64) -> u64 {
    id
}

#[retain(ttl = |text| text.len() > 3)]
fn c(id: u64) -> String {
    id.to_string()
}

#[retain(ttl = |text: &u8| *text)]
fn d(id: u64) -> String {
    id.to_string()
}

fn main() {}
