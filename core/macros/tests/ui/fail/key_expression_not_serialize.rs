use retainit::retain;

struct Session {
    user: User,
}
struct User;

#[retain(key = (session.user, page))]
fn feed(session: &Session, page: u32) -> u32 {
    let _ = session;
    page
}

fn main() {}
