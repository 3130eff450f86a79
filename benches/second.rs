//! Later: written below.
fn main() {}
