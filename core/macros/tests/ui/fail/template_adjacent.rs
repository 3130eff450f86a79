use retainit::retain;

#[retain(key = "{a}{b}")]
fn nothing(a: u64, b: u64) -> u64 {
    a + b
}

#[retain(key = "{a}and%1{b}")]
fn letters(a: u64, b: u64) -> u64 {
    a + b
}

#[retain(tags("{a}x{b}"))]
fn tags(a: u64, b: u64) -> u64 {
    a + b
}

fn main() {}
