use retainit::retain;

struct Shop;

impl Shop {
    #[retain]
    fn countries(continent: String) -> Vec<String> {
        vec![continent]
    }
}

fn main() {
    Shop::countries("eu".into());
}
