use retainit::retain;

#[retain]
fn a(x: impl ToString) -> String {
    x.to_string()
}

fn main() {}
