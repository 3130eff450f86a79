use retainit::retain;

#[retain]
const fn a(id: u64) -> u64 {
    id
}

#[retain]
unsafe fn b(id: u64) -> u64 {
    id
}

#[retain]
extern "C" fn c(id: u64) -> u64 {
    id
}

struct Service;

impl Service {
    #[retain(skip(self), handle = off)]
    #[track_caller]
    fn d(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
