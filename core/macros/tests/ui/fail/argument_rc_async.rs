use retainit::retain;
use std::rc::Rc;

#[retain(skip(config))]
async fn user(config: Rc<String>, id: u64) -> u64 {
    std::future::ready(()).await;
    id + config.len() as u64
}

fn main() {}
