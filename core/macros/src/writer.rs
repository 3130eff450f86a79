//! Wraps the body of functions that write: statements before it and, after success, behind it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::function::Function;
use crate::signature::is_generic;
use crate::types::{is_nothing, is_spelled_result, parts};

/// Returns the expression of the return type's operations.
pub(crate) fn return_ops(rt: &TokenStream, output: &Type) -> TokenStream {
    if parts(output).reference { quote!(#rt::return_ops!(ref #output)) } else { quote!(#rt::return_ops!(#output)) }
}

/// Puts `before` in front of the body and `after` behind it. `after` uses `__retain_result`, the result of the body.
pub(crate) fn wrap(function: &Function, rt: &TokenStream, before: &TokenStream, after: &TokenStream) -> TokenStream {
    let output = function.output();
    let spelled = parts(&output).impl_trait.is_none().then_some(&output);
    let body = function.body_inline(spelled);
    let run = if function.is_async() { quote!((#body).await) } else { quote!((#body)()) };
    let statements = quote! {
        #before
        #[allow(unknown_lints, clippy::let_unit_value, clippy::redundant_closure_call)]
        let __retain_result = #run;
        #after
        __retain_result
    };
    function.with_body(&function.sig, statements, rt)
}

/// Returns the condition under which a call of this function counts as successful.
///
/// It depends on the type, so that aliases of `Result` count; where it cannot (a return type that borrows, is generic
/// or has no name), on the spelling.
pub(crate) fn succeeded(rt: &TokenStream, function: &Function) -> TokenStream {
    let output = function.output();
    let all = parts(&output);
    if is_nothing(&output) {
        quote!(true)
    } else if all.borrowed.is_empty() && all.impl_trait.is_none() && !is_generic(&function.sig) {
        let return_ops = return_ops(rt, &output);
        quote!(#rt::succeeded(#return_ops, &__retain_result))
    } else if is_spelled_result(&output) {
        quote!(#rt::std::result::Result::is_ok(&__retain_result))
    } else {
        quote!(true)
    }
}
