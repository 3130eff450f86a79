use retainit::retain;

trait Repo {
    fn get(&self, id: u64) -> u64;
}

struct Service;

impl Repo for Service {
    #[retain(skip(self))]
    fn get(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
