use retainit::retain;

struct Service;

impl Service {
    #[retain(skip(self), assoc)]
    fn a(&self, id: u64) -> u64 {
        id
    }

    #[retain]
    fn b(id: u64) -> Option<Self> {
        None
    }
}

fn main() {}
