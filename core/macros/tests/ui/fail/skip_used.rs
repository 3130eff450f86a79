use retainit::retain;

#[retain(skip(token), key = "{id}/{token}", tags("{token}"))]
fn a(id: u64, token: String) -> u64 {
    id + token.len() as u64
}

#[retain(skip(token), key = (id, token.len()))]
fn b(id: u64, token: String) -> u64 {
    id + token.len() as u64
}

struct Service(u64);

impl Service {
    #[retain(skip(self), key = (self.0, id))]
    fn c(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
