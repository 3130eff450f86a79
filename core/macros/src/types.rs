//! Examines types as they are spelled, and derives types from them.

use proc_macro2::TokenStream;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::visit_mut::VisitMut;
use syn::{
    GenericArgument, Lifetime, ParenthesizedGenericArguments, PathArguments, Token, Type, TypeFnPtr, TypeImplTrait,
    TypeParamBound, TypePath, TypeReference, parse_quote,
};

/// Parts of a spelled type. Types inside `fn(…)` and `Fn(…)` do not count: they have lifetimes of their own.
#[derive(Default)]
pub(crate) struct Parts<'a> {
    /// References whose lifetime is not spelled `'static`, and lifetimes that are not `'static`.
    pub(crate) borrowed: Vec<&'a dyn quote::ToTokens>,
    /// Any reference.
    pub(crate) reference: bool,
    pub(crate) impl_trait: Option<&'a TypeImplTrait>,
    pub(crate) trait_object: bool,
    /// A set without a stable order.
    pub(crate) hash_set: Option<&'a TypePath>,
    pub(crate) self_type: Option<&'a TypePath>,
    pub(crate) future: bool,
}

pub(crate) fn parts(ty: &Type) -> Parts<'_> {
    let mut parts = Parts::default();
    parts.visit_type(ty);
    parts
}

impl<'a> Visit<'a> for Parts<'a> {
    fn visit_lifetime(&mut self, lifetime: &'a Lifetime) {
        if lifetime.ident != "static" {
            self.borrowed.push(lifetime);
        }
    }

    fn visit_type_reference(&mut self, reference: &'a TypeReference) {
        self.reference = true;
        match &reference.lifetime {
            None => self.borrowed.push(reference),
            Some(lifetime) => self.visit_lifetime(lifetime),
        }
        self.visit_type(&reference.elem);
    }

    fn visit_type_impl_trait(&mut self, found: &'a TypeImplTrait) {
        self.impl_trait = Some(found);
        self.future |= is_future(&found.bounds);
    }

    fn visit_type_trait_object(&mut self, object: &'a syn::TypeTraitObject) {
        self.trait_object = true;
        self.future |= is_future(&object.bounds);
        visit::visit_type_trait_object(self, object);
    }

    fn visit_type_path(&mut self, path: &'a TypePath) {
        if let Some(last) = path.path.segments.last() {
            if last.ident.to_string().ends_with("HashSet") {
                self.hash_set = Some(path);
            }
            self.future |= ["BoxFuture", "LocalBoxFuture"].iter().any(|name| last.ident == name);
        }
        if path.path.segments.first().is_some_and(|first| first.ident == "Self") {
            self.self_type = Some(path);
        }
        visit::visit_type_path(self, path);
    }

    fn visit_type_fn_ptr(&mut self, _: &'a TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'a ParenthesizedGenericArguments) {}
}

fn is_future<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> bool {
    bounds.into_iter().any(|bound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == "Future"),
        _ => false,
    })
}

/// Returns whether a type is `()` or `!`.
pub(crate) fn is_nothing(ty: &Type) -> bool {
    match bare(ty) {
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        Type::Never(_) => true,
        _ => false,
    }
}

/// Returns the output of a future that is spelled as a boxed one: `Pin<Box<dyn Future<Output = T> + …>>`, which is what
/// `#[async_trait]` makes of an `async fn`, or `BoxFuture<'_, T>`.
pub(crate) fn boxed_future(ty: &Type) -> Option<&Type> {
    if let Some(arguments) = generic(ty, "BoxFuture").or_else(|| generic(ty, "LocalBoxFuture")) {
        return arguments.last().and_then(as_type);
    }
    let boxed = generic(ty, "Pin")?.first().and_then(as_type)?;
    let Type::TraitObject(object) = bare(generic(boxed, "Box")?.first().and_then(as_type)?) else { return None };
    object.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::AssocType(of) if of.ident == "Output" => Some(&of.ty),
                _ => None,
            })
        }
        _ => None,
    })
}

/// Returns the generic arguments of a type of this name.
fn generic<'a>(ty: &'a Type, name: &str) -> Option<&'a Punctuated<GenericArgument, Token![,]>> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    }
}

fn as_type(argument: &GenericArgument) -> Option<&Type> {
    match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

/// Returns whether a type is spelled as a `Result`.
pub(crate) fn is_spelled_result(ty: &Type) -> bool {
    matches!(bare(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Result"))
}

fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => bare(&inner.elem),
        Type::Group(inner) => bare(&inner.elem),
        other => other,
    }
}

/// Returns the plain name that a type consists of, also behind a path: `str`, `String`, `Path`.
fn simple_name(ty: &Type) -> Option<String> {
    match bare(ty) {
        Type::Path(path) if path.qself.is_none() => {
            let last = path.path.segments.last()?;
            matches!(last.arguments, PathArguments::None).then(|| last.ident.to_string())
        }
        _ => None,
    }
}

/// Returns whether a type is spelled as a number or text of the standard library, or as a list, tuple or pointer of such
/// types: its `Serialize` runs no code of the program.
pub(crate) fn is_std(ty: &Type) -> bool {
    const PLAIN: [&str; 18] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
        "usize", "str", "String",
    ];
    const AROUND: [&str; 6] = ["Option", "Vec", "Box", "Rc", "Arc", "Cow"];
    match bare(ty) {
        Type::Reference(reference) => is_std(&reference.elem),
        Type::Slice(slice) => is_std(&slice.elem),
        Type::Array(array) => is_std(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().all(is_std),
        Type::Path(path) if path.qself.is_none() => {
            let segments = &path.path.segments;
            let is_known = segments.len() == 1 || ["std", "core", "alloc"].iter().any(|root| segments[0].ident == root);
            let Some(last) = segments.last().filter(|_| is_known) else { return false };
            match &last.arguments {
                PathArguments::None => PLAIN.iter().any(|name| last.ident == name),
                PathArguments::AngleBracketed(inner) if AROUND.iter().any(|name| last.ident == name) => {
                    inner.args.iter().all(|inner| match inner {
                        GenericArgument::Type(inner) => is_std(inner),
                        inner => matches!(inner, GenericArgument::Lifetime(_)),
                    })
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Returns the number of `&` before a type.
pub(crate) fn references(ty: &Type) -> usize {
    match bare(ty) {
        Type::Reference(reference) => 1 + references(&reference.elem),
        _ => 0,
    }
}

fn is(ty: &Type, name: &str) -> bool {
    simple_name(ty).is_some_and(|found| found == name)
}

/// Returns the name of a type as it is spelled, without references and pointers around it; `str` for all types of plain
/// text: `&str`, `String`, `char`, `Arc<str>`. Empty if it has no name.
pub(crate) fn spelled(ty: &Type) -> String {
    let last = match bare(ty) {
        Type::Reference(reference) => return spelled(&reference.elem),
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    };
    let Some(last) = last else { return String::new() };
    match &last.arguments {
        PathArguments::None if ["str", "String", "char"].iter().any(|name| last.ident == name) => "str".into(),
        PathArguments::AngleBracketed(inner) if ["Box", "Rc", "Arc", "Cow"].iter().any(|name| last.ident == name) => {
            let inner = inner.args.iter().find_map(|inner| match inner {
                GenericArgument::Type(inner) => Some(spelled(inner)),
                _ => None,
            });
            inner.unwrap_or_default()
        }
        _ => last.ident.to_string(),
    }
}

/// Returns the type behind `&`, not `&mut`.
fn behind(ty: &Type) -> Option<&Type> {
    match bare(ty) {
        Type::Reference(reference) if reference.mutability.is_none() => Some(&reference.elem),
        _ => None,
    }
}

/// Returns the type of a key of one argument: `str` for `&str` and `String`, `T` for `&T`, else the type.
pub(crate) fn single_key(ty: &Type, rt: &TokenStream) -> Type {
    match behind(ty) {
        Some(inner) => within_a(inner),
        None if is(ty, "String") => parse_quote!(#rt::std::primitive::str),
        None => within_a(ty),
    }
}

/// Returns the type of one argument in a key of several: `&'a str` for `&str` and `String`, `&'a T` for `&T`, else the
/// type.
pub(crate) fn tuple_key(ty: &Type, rt: &TokenStream) -> Type {
    if is(ty, "String") { parse_quote!(&'a #rt::std::primitive::str) } else { within_a(ty) }
}

fn within_a(ty: &Type) -> Type {
    within(ty, "'a")
}

/// Returns the type with this lifetime in place of each of its own.
pub(crate) fn within(ty: &Type, lifetime: &'static str) -> Type {
    struct Rename(&'static str);
    impl VisitMut for Rename {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            *lifetime = Lifetime::new(self.0, lifetime.span());
        }
        fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
            reference.lifetime = Some(Lifetime::new(self.0, reference.and_token.span));
            self.visit_type_mut(&mut reference.elem);
        }
        fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}
    }
    let mut ty = ty.clone();
    Rename(lifetime).visit_type_mut(&mut ty);
    ty
}

/// Owned form of an argument, for a later call.
pub(crate) enum Owned {
    /// The type itself.
    Same(Type),
    /// The function takes `&*owned`.
    Deref(Type),
    /// The function takes `&owned`.
    Borrow(Type),
}

impl Owned {
    /// Returns the owned type.
    pub(crate) fn ty(&self) -> &Type {
        match self {
            Owned::Same(ty) | Owned::Deref(ty) | Owned::Borrow(ty) => ty,
        }
    }
}

/// Returns the owned form of an argument, if it has one.
pub(crate) fn owned(ty: &Type, rt: &TokenStream) -> Option<Owned> {
    let all = parts(ty);
    if all.trait_object || all.impl_trait.is_some() {
        return None;
    }
    if all.borrowed.is_empty() {
        return Some(Owned::Same(ty.clone()));
    }
    let inner = bare(behind(ty)?);
    if !parts(inner).borrowed.is_empty() {
        return None;
    }
    Some(match inner {
        Type::Slice(slice) => {
            let elem = &slice.elem;
            Owned::Deref(parse_quote!(#rt::std::vec::Vec<#elem>))
        }
        _ if is(inner, "str") => Owned::Deref(parse_quote!(#rt::std::string::String)),
        _ if is(inner, "Path") => Owned::Deref(parse_quote!(#rt::std::path::PathBuf)),
        _ if is(inner, "OsStr") => Owned::Deref(parse_quote!(#rt::std::ffi::OsString)),
        _ if is(inner, "CStr") => Owned::Deref(parse_quote!(#rt::std::ffi::CString)),
        _ => Owned::Borrow(inner.clone()),
    })
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens as _, quote};

    use super::*;

    fn text(ty: Type) -> String {
        ty.to_token_stream().to_string().replace(' ', "")
    }

    fn read(spelled: &str) -> Type {
        syn::parse_str(spelled).unwrap()
    }

    #[test]
    fn key_types() {
        for (spelled, single, tuple) in [
            ("u64", "u64", "u64"),
            ("&str", "str", "&'astr"),
            ("&'static str", "str", "&'astr"),
            ("String", "::std::primitive::str", "&'a::std::primitive::str"),
            ("std::string::String", "::std::primitive::str", "&'a::std::primitive::str"),
            ("&User", "User", "&'aUser"),
            ("&[u8]", "[u8]", "&'a[u8]"),
            ("&&str", "&'astr", "&'a&'astr"),
            ("Option<&'b str>", "Option<&'astr>", "Option<&'astr>"),
            ("Cow<'_, str>", "Cow<'a,str>", "Cow<'a,str>"),
        ] {
            assert_eq!(text(single_key(&read(spelled), &quote!())), single, "{spelled}");
            assert_eq!(text(tuple_key(&read(spelled), &quote!())), tuple, "{spelled}");
        }
    }

    #[test]
    fn types_of_the_standard_library() {
        for (spelled, expected) in [
            ("u64", true),
            ("&'a str", true),
            ("std::string::String", true),
            ("&[Option<(u8, String)>]", true),
            ("Cow<'_, str>", true),
            ("[f32; 3]", true),
            ("()", true),
            ("T", false),
            ("my::String", false),
            ("Vec<User>", false),
            ("(u64, User)", false),
            ("<T as Has>::Id", false),
            ("HashMap<u8, u8>", false),
        ] {
            assert_eq!(is_std(&read(spelled)), expected, "{spelled}");
        }
    }

    #[test]
    fn owned_types() {
        for (spelled, expected) in [
            ("u64", Some("=u64")),
            ("&'static str", Some("=&'staticstr")),
            ("&str", Some("*::std::string::String")),
            ("&[u8]", Some("*::std::vec::Vec<u8>")),
            ("&std::path::Path", Some("*::std::path::PathBuf")),
            ("&'a User", Some("&User")),
            ("&[&str]", None),
            ("Option<&str>", None),
            ("Cow<'_, str>", None),
            ("&mut u64", None),
            ("&dyn Db", None),
            ("impl Db", None),
            ("fn(&str) -> u64", Some("=fn(&str)->u64")),
        ] {
            let found = owned(&read(spelled), &quote!()).map(|owned| match owned {
                Owned::Same(ty) => format!("={}", text(ty)),
                Owned::Deref(ty) => format!("*{}", text(ty)),
                Owned::Borrow(ty) => format!("&{}", text(ty)),
            });
            assert_eq!(found.as_deref(), expected, "{spelled}");
        }
    }

    #[test]
    fn parts_of_types() {
        assert_eq!(parts(&read("Result<&'static str, &'a E>")).borrowed.len(), 1);
        assert!(parts(&read("Option<std::collections::HashSet<u8>>")).hash_set.is_some());
        assert!(parts(&read("Pin<Box<dyn Future<Output = u8> + Send>>")).future);
        let value = |spelled| boxed_future(&read(spelled)).cloned().map(text);
        for spelled in ["Pin<Box<dyn Future<Output = u8> + Send + 'a>>", "futures::BoxFuture<'a, u8>"] {
            assert_eq!(value(spelled).as_deref(), Some("u8"), "{spelled}");
        }
        for spelled in ["Pin<Box<u8>>", "Box<dyn Future<Output = u8>>", "Pin<Box<dyn Stream<Item = u8>>>", "u8"] {
            assert_eq!(value(spelled), None, "{spelled}");
        }
        assert!(is_nothing(&read("()")) && is_nothing(&read("!")) && !is_nothing(&read("((),)")));
    }
}
