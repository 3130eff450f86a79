use retainit::TypeTag;

#[derive(TypeTag)]
#[type_tag]
struct A;

#[derive(TypeTag)]
#[type_tag(id = "", name = "x")]
struct B;

fn main() {}
