//! Expands `#[retain_put]`: stores the result of a function for another one.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, Ident, Path};

use crate::arguments::Names;
use crate::attr::default_root;
use crate::errors::{Errors, report};
use crate::function::Function;
use crate::key::single;
use crate::signature::check_output;
use crate::writer::{return_ops, wrap};

const NAMES: Names = Names { attribute: "retain_put", known: &["of", "key", "crate"], later: &[] };

pub(crate) const OF: &str = "the path of a function with `#[retain]`, such as `of = user`";
pub(crate) const KEY: &str = "that function's key, such as `key = (id,)`";

/// Expands `#[retain_put]`.
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
            Span::call_site(),
            "`#[retain_put]` needs both: `of`, the function whose result this is, and `key`, such as \
             `#[retain_put(of = user, key = (id,))]`",
        );
        return Err(errors.finish().expect_err("one was just put in"));
    };
    errors.finish()?;
    Ok(write(&function, &of, single(key), &quote!(#root::__private)))
}

/// Returns an alias of the function that another attribute names, so that one error reports a path that is no function.
pub(crate) fn name_function(of: &Path) -> (TokenStream, Ident) {
    let name = Ident::new("__RetainOf", Span::call_site().located_at(of.span()));
    (quote!(type #name = #of;), name)
}

fn write(function: &Function, of: &Path, key: Expr, rt: &TokenStream) -> TokenStream {
    let (named, of) = name_function(of);
    let return_ops = return_ops(rt, &function.output());
    let key = quote_spanned!(key.span()=> &#key);
    let key = quote_spanned!(of.span()=> <#of>::__put(#key));
    // What is stored under another type than the named function's would never be found.
    let kept = quote_spanned!(of.span()=> #rt::return_ops!(value <#of as #rt::RetainedFunction>::Output));
    let output = function.output();
    let ask = quote_spanned!(output.span()=> <_ as __retain_asks::Requirements>::result_is_put_value_of);
    let kept = quote! {
        use #rt::requirements as __retain_asks;
        #ask(&#kept, __retain_ops);
    };
    let before = quote!(#named let (__retain_key, __retain_tags) = #rt::put_key(|| #key););
    let arguments = quote!(__retain_ops, __retain_key, __retain_tags, &__retain_result);
    let put = if function.is_async() {
        quote_spanned!(of.span()=> #rt::put::<#of, _, _, _>(#arguments).await)
    } else {
        quote_spanned!(of.span()=> #rt::put_sync::<#of, _, _, _>(#arguments))
    };
    let after = quote! {
        let __retain_ops = #return_ops;
        #kept
        if #rt::succeeded(__retain_ops, &__retain_result) {
            #put;
        }
    };
    wrap(function, rt, &before, &after)
}
