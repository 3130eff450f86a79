//! `#[retain_put]`: what a function returns is stored as if another had returned it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, Path};

use crate::arguments::Names;
use crate::attr::default_root;
use crate::errors::{Errors, report};
use crate::function::Function;
use crate::key::single;
use crate::signature::check_output;
use crate::writer::{facts, wrap};

const NAMES: Names = Names { attribute: "retain_put", known: &["of", "key", "crate"], later: &[] };

pub(crate) const OF: &str = "the path of a function with `#[retain]`, such as `of = user`";
pub(crate) const KEY: &str = "that function's key, such as `key = (id,)`";

/// The attribute.
pub(crate) fn retain_put(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item.clone()).unwrap_or_else(|error| report(&error, item))
}

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let (mut of, mut key, mut root) = (None::<Path>, None::<Expr>, default_root());
    for argument in NAMES.read(arguments, &mut errors) {
        match argument.name.to_string().as_str() {
            "of" => of = errors.take(argument.path(OF)).or(of),
            "key" => key = errors.take(argument.expression(KEY)).or(key),
            _ => root = errors.take(argument.path("the path under which retainit is found")).unwrap_or(root),
        }
    }
    let function = errors.take(syn::parse2::<Function>(item));
    if let Some(function) = &function {
        function.check_kind(&mut errors);
        check_output(function, &mut errors);
    }
    let (Some(of), Some(key), Some(function)) = (of, key, function) else {
        errors.at_span(
            proc_macro2::Span::call_site(),
            "`#[retain_put]` needs both: `of`, the function whose result this is, and `key`, such as \
             `#[retain_put(of = user, key = (id,))]`",
        );
        return Err(errors.finish().expect_err("one was just put in"));
    };
    errors.finish()?;
    Ok(write(&function, &of, single(key), &quote!(#root::__private)))
}

fn write(function: &Function, of: &Path, key: Expr, rt: &TokenStream) -> TokenStream {
    let facts = facts(rt, &function.output());
    let key = quote_spanned!(key.span()=> &#key);
    let key = quote_spanned!(of.span()=> #of::__put(#key));
    let before = quote!(let (__retain_key, __retain_tags) = #rt::put_key(|| #key););
    let arguments = quote!(&__retain_facts, __retain_key, __retain_tags, &__retain_result);
    let put = if function.sig.asyncness.is_some() {
        quote_spanned!(of.span()=> #rt::put::<#of, _, _, _>(#arguments).await)
    } else {
        quote_spanned!(of.span()=> #rt::put_sync::<#of, _, _, _>(#arguments))
    };
    let after = quote! {
        let __retain_facts = #facts;
        if #rt::succeeded(&__retain_facts, &__retain_result) {
            #put;
        }
    };
    wrap(function, &before, &after)
}
