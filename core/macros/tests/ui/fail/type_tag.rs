use retainit::TypeTag;

#[derive(TypeTag)]
#[type_tag]
struct A;

#[derive(TypeTag)]
#[type_tag(id = "", name = "x")]
struct B;

#[derive(TypeTag)]
#[type_tag = "two words"]
struct C;

fn main() {}
