//! Expands `#[on]`: subscribes a function to events.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{FnArg, Path, Type};

use crate::arguments::Names;
use crate::attr::default_root;
use crate::errors::{Errors, report};
use crate::function::Function;
use crate::signature::is_generic;
use crate::types::is_nothing;

/// Variants of `EventKind`, which name the kinds, and the other arguments of the attribute.
const NAMES: Names = Names {
    attribute: "on",
    known: &[
        "CacheHit",
        "CacheMiss",
        "CacheSet",
        "CacheDelete",
        "CacheClear",
        "CacheError",
        "CacheEvict",
        "FunctionCallStart",
        "FunctionCallEnd",
        "FunctionError",
        "BackendInit",
        "BackendClose",
        "BreakerChange",
        "BackplaneChange",
        "NearCapacity",
        "VerifyMismatch",
        "EventsDropped",
        "Security",
        "ConfigChange",
        "crate",
    ],
    later: &[],
};

/// Expands `#[on]`.
pub(crate) fn on(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item.clone()).unwrap_or_else(|error| report(&error, item))
}

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let (kinds, root) = read(arguments, &mut errors);
    let Some(function) = errors.take(syn::parse2::<Function>(item)) else {
        return Err(errors.finish().expect_err("one was just taken"));
    };
    function.check_kind(&mut errors);
    check_signature(&function, &mut errors);
    errors.finish()?;

    let (cfgs, handler) = (function.cfgs(), &function.sig.ident);
    let name = handler.unraw().to_string();
    let face = if function.sig.asyncness.is_some() { quote!(async) } else { quote!(sync) };
    Ok(quote! {
        #function
        #cfgs
        #root::__private::on! { #face #handler #name #(#kinds)* }
    })
}

/// Reads the kinds and the path of retainit.
fn read(arguments: TokenStream, errors: &mut Errors) -> (Vec<Ident>, Path) {
    let (mut kinds, mut root) = (Vec::new(), default_root());
    for argument in NAMES.read(unqualified(arguments), errors) {
        let result = if argument.name == "crate" {
            argument.path("the path under which retainit is found").map(|path| root = path)
        } else {
            argument.flag().map(|_| kinds.push(argument.name))
        };
        errors.take(result);
    }
    if kinds.is_empty() && !errors.any() {
        let message = "`#[on]` does not say of which events: name their kinds, as in `#[on(CacheHit, CacheMiss)]`";
        errors.at_span(Span::call_site(), message);
    }
    (kinds, root)
}

/// Removes the path from kinds that are written as `EventKind::CacheHit`.
fn unqualified(arguments: TokenStream) -> TokenStream {
    let tokens: Vec<TokenTree> = arguments.into_iter().collect();
    let is = |token: &TokenTree, c: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == c);
    let kind = |chunk: &[TokenTree]| {
        let qualified = chunk.iter().rposition(|token| is(token, ':')).filter(|at| {
            let before = at.checked_sub(2).and_then(|at| chunk.get(at));
            matches!(before, Some(TokenTree::Ident(name)) if name == "EventKind")
        });
        chunk[qualified.map_or(0, |at| at + 1)..].to_vec()
    };
    let chunks = tokens.split_inclusive(|token| is(token, ','));
    chunks.flat_map(kind).collect()
}

/// Checks that a handler takes the event and returns nothing.
fn check_signature(function: &Function, errors: &mut Errors) {
    let (sig, output) = (&function.sig, function.output());
    if is_generic(sig) {
        errors.at(&sig.generics, "nobody would choose the types of a generic handler: write them out");
    }
    if !is_nothing(&output) {
        errors.at(&output, "what a handler returns goes nowhere: let it return nothing");
    }
    let is_async = sig.asyncness.is_some();
    let form = if is_async { "event: Event" } else { "event: &Event" };
    let mut inputs = sig.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Receiver(receiver)), _) => {
            errors.at(receiver, "there is no `self` when an event is told: `#[on]` goes on a free function");
        }
        (Some(FnArg::Typed(event)), None) => match &*event.ty {
            Type::Reference(_) if is_async => {
                errors.at(
                    &event.ty,
                    format!("an `async` handler keeps the event while it waits: take it by value, `{form}`"),
                );
            }
            Type::Reference(_) => {}
            _ if is_async => {}
            other => errors.at(other, format!("a handler that is not `async` borrows the event: `{form}`")),
        },
        (_, Some(more)) => errors.at(more, format!("a handler takes one argument, the event: `{form}`")),
        (None, None) => errors.at(&sig.ident, format!("a handler takes one argument, the event: `{form}`")),
    }
}
