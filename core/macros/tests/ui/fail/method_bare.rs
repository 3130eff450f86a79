use retainit::retain;

struct Service;

impl Service {
    #[retain]
    fn a(&self, id: u64) -> u64 {
        id
    }

    #[retain(ttl = "5m")]
    async fn b(self: std::sync::Arc<Self>, id: u64) -> u64 {
        id
    }
}

fn main() {}
