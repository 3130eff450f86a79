//! What the attributes of functions that write have in common: a body with something before it and, after success,
//! something behind it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::function::Function;
use crate::signature::is_generic;
use crate::types::{is_nothing, is_spelled_result, parts};

/// The question about the return type, whatever it is.
pub(crate) fn facts(rt: &TokenStream, output: &Type) -> TokenStream {
    if parts(output).reference { quote!(#rt::facts!(ref #output)) } else { quote!(#rt::facts!(#output)) }
}

/// Puts `before` in front of the body and `after` behind it. `after` sees `__retain_result`, what the body returned.
pub(crate) fn wrap(function: &Function, before: &TokenStream, after: &TokenStream) -> TokenStream {
    let output = function.output();
    let spelled = parts(&output).impl_trait.is_none().then_some(&output);
    let body = function.body_inline(spelled);
    let run = if function.sig.asyncness.is_some() { quote!((#body).await) } else { quote!((#body)()) };
    let statements = quote! {
        #before
        #[allow(unknown_lints, clippy::let_unit_value, clippy::redundant_closure_call)]
        let __retain_result = #run;
        #after
        __retain_result
    };
    function.with_body(&function.sig, statements)
}

/// The condition under which a call of this function counts as successful.
///
/// The compiler is asked, so that aliases of `Result` are seen through; where it cannot be (what is returned borrows,
/// is generic or has no name), the spelling decides.
pub(crate) fn succeeded(rt: &TokenStream, function: &Function) -> TokenStream {
    let output = function.output();
    let all = parts(&output);
    if is_nothing(&output) {
        quote!(true)
    } else if all.borrowed.is_empty() && all.impl_trait.is_none() && !is_generic(&function.sig) {
        let facts = facts(rt, &output);
        quote!(#rt::succeeded(&#facts, &__retain_result))
    } else if is_spelled_result(&output) {
        quote!(::core::result::Result::is_ok(&__retain_result))
    } else {
        quote!(true)
    }
}
