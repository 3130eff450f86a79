//! Expands `#[derive(TypeTag)]`: a name of a type that is the same in every build.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{DeriveInput, GenericParam, LitStr, Meta};

use crate::arguments::Names;
use crate::attr::default_root;
use crate::errors::Errors;

const NAMES: Names = Names { attribute: "type_tag", known: &["id", "crate"], later: &[] };

/// Expands the derive.
pub(crate) fn type_tag(item: TokenStream) -> TokenStream {
    expand(item).unwrap_or_else(|error| error.to_compile_error())
}

fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let mut input = syn::parse2::<DeriveInput>(item)?;
    let mut errors = Errors::default();
    let (mut id, mut root) = (None::<LitStr>, default_root());
    for attr in input.attrs.iter().filter(|attr| attr.path().is_ident("type_tag")) {
        let tokens = match &attr.meta {
            Meta::List(list) => list.tokens.clone(),
            // The short form of `id`.
            Meta::NameValue(name) => {
                let value = &name.value;
                quote_spanned!(name.path.span()=> id = #value)
            }
            Meta::Path(path) => {
                errors.at(path, "`type_tag` gives a name, such as `#[type_tag = \"shop.User\"]`");
                continue;
            }
        };
        for argument in NAMES.read(tokens, &mut errors) {
            match argument.name.to_string().as_str() {
                "id" => id = errors.take(crate::values::identity(&argument)).or(id),
                _ => root = errors.take(argument.path("the path under which retainit is found")).unwrap_or(root),
            }
        }
    }
    errors.finish()?;
    let rt = quote!(#root::__private);
    let tags = parameters(&mut input, &rt);
    let plain = input.ident.unraw().to_string();
    let name = match id {
        Some(id) => quote!(#id),
        None => quote!(#rt::std::concat!(#rt::std::module_path!(), "::", #plain)),
    };
    let text = if tags.is_empty() {
        quote!(#rt::std::string::String::from(#name))
    } else {
        quote! {
            let tags: &[#rt::std::string::String] = &[#(#tags),*];
            #rt::std::string::String::from(#name) + "<" + &<[#rt::std::string::String]>::join(tags, ",") + ">"
        }
    };
    let ident = &input.ident;
    let (generics, arguments, clause) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics #rt::TypeTag for #ident #arguments #clause {
            fn tag() -> #rt::std::string::String { #text }
        }
    })
}

/// Returns the tag of each type and const parameter, and adds the bound to type parameters.
fn parameters(input: &mut DeriveInput, rt: &TokenStream) -> Vec<TokenStream> {
    let (mut tags, mut bounds) = (Vec::new(), Vec::new());
    for parameter in &input.generics.params {
        match parameter {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(parameter) => {
                let name = &parameter.ident;
                bounds.push(quote!(#name: #rt::TypeTag));
                tags.push(quote!(<#name as #rt::TypeTag>::tag()));
            }
            GenericParam::Const(parameter) => {
                let name = &parameter.ident;
                tags.push(quote!(#rt::std::string::ToString::to_string(&#name)));
            }
        }
    }
    if !bounds.is_empty() {
        let clause = input.generics.make_where_clause();
        clause.predicates.extend(bounds.into_iter().map(|bound| -> syn::WherePredicate { syn::parse_quote!(#bound) }));
    }
    tags
}
