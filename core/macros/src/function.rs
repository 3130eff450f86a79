//! Parses the function under an attribute up to its body, which stays as it is.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, Pat, ReturnType, Safety, Signature, Token, Type, Visibility, parse_quote};

use crate::errors::Errors;
use crate::types::boxed_future;
use crate::words::{ATTRIBUTES_LATER, attribute_later};

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let start = input.span();
        let vis = input.parse()?;
        let Ok(sig) = input.parse::<Signature>() else {
            return Err(syn::Error::new(start, "this is not a function: the attribute goes on a function or a method"));
        };
        if input.peek(Token![;]) {
            let message = "this function has no body: put the attribute on its implementation";
            return Err(syn::Error::new_spanned(&sig, message));
        }
        match input.parse()? {
            TokenTree::Group(body) => Ok(Function { attrs, vis, sig, body }),
            other => Err(syn::Error::new(other.span(), "expected the function's body")),
        }
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Function { attrs, vis, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #sig #body));
    }
}

impl Function {
    /// Takes away attributes that are planned, where they are not named by a path of another crate.
    pub(crate) fn refuse_later(&mut self, errors: &mut Errors) {
        self.attrs.retain(|attr| {
            let later = ATTRIBUTES_LATER.iter().find(|later| attr.path().is_ident(*later));
            if let Some(later) = later {
                errors.at(attr, format!("{}; one of another crate is named by its path", attribute_later(later)));
            }
            later.is_none()
        });
    }

    /// Reports kinds of functions that no attribute supports.
    pub(crate) fn check_kind(&self, errors: &mut Errors) {
        let Signature { constness, safety, abi, variadic, .. } = &self.sig;
        if let Some(constness) = constness {
            errors.at(constness, "a `const fn` cannot use a cache: take `const` away");
        }
        if let Safety::Unsafe(token) = safety {
            errors.at(token, "an `unsafe fn` cannot be wrapped: put the attribute on a safe function around it");
        }
        if let Some(abi) = abi {
            errors
                .at(abi, "an `extern` function cannot be wrapped: put the attribute on a Rust function that it calls");
        }
        if let Some(variadic) = variadic {
            errors.at(variadic, "a variadic function has no fixed arguments to make a key of");
        }
    }

    /// Returns the type that a caller gets in the end, as it is written: `()` for none, `T` for a boxed future of `T`.
    pub(crate) fn output(&self) -> Type {
        match (&self.sig.output, self.boxed_output()) {
            (_, Some(ty)) => ty.clone(),
            (ReturnType::Type(_, ty), None) => Type::clone(ty),
            (ReturnType::Default, None) => parse_quote!(()),
        }
    }

    fn boxed_output(&self) -> Option<&Type> {
        match &self.sig.output {
            ReturnType::Type(_, ty) if self.sig.asyncness.is_none() => boxed_future(ty),
            _ => None,
        }
    }

    /// Returns whether the function returns a boxed future instead of being an `async fn`.
    pub(crate) fn is_boxed(&self) -> bool {
        self.boxed_output().is_some()
    }

    /// Returns whether the result has to be awaited.
    pub(crate) fn is_async(&self) -> bool {
        self.sig.asyncness.is_some() || self.is_boxed()
    }

    /// Returns whether the function has `#[track_caller]`.
    pub(crate) fn tracks_caller(&self) -> bool {
        self.attrs.iter().any(|attr| attr.path().is_ident("track_caller"))
    }

    /// Returns the `cfg` attributes of the function, for items that are generated beside it.
    pub(crate) fn cfgs(&self) -> TokenStream {
        let cfgs = self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)*)
    }

    /// Returns the lint attributes, for a body that moves to a function of its own.
    pub(crate) fn lints(&self) -> TokenStream {
        let lints = self.attrs.iter().filter(|attr| LINTS.iter().any(|lint| attr.path().is_ident(lint)));
        quote!(#(#lints)*)
    }

    /// Turns `expect` into `allow`: of two copies of an expectation, one would never be met.
    pub(crate) fn relax_expectations(&mut self) {
        for attr in &mut self.attrs {
            if attr.path().is_ident("expect")
                && let Ok(list) = attr.meta.require_list()
            {
                let tokens = &list.tokens;
                *attr = parse_quote!(#[allow(#tokens)]);
            }
        }
    }

    /// Returns the function with another body in place of the old one, so that lints still see a function of the
    /// user's.
    pub(crate) fn with_body(&self, sig: &Signature, statements: TokenStream, rt: &TokenStream) -> TokenStream {
        let Function { attrs, vis, body, .. } = self;
        let statements =
            if self.is_boxed() { quote!(#rt::std::boxed::Box::pin(async move { #statements })) } else { statements };
        let mut block = Group::new(Delimiter::Brace, statements);
        block.set_span(body.span());
        quote!(#(#attrs)* #vis #sig #block)
    }

    /// Returns the body as an expression that runs at most once: `async move { … }` or `move || -> R { … }`.
    pub(crate) fn body_inline(&self, output: Option<&Type>) -> TokenStream {
        let body = self.body.stream();
        if self.is_boxed() {
            let boxed = &self.sig.output;
            return quote!(async move { (move || #boxed { #body })().await });
        }
        match (self.sig.asyncness.is_some(), output) {
            (false, Some(output)) => quote!(move || -> #output { #body }),
            (false, None) => quote!(move || { #body }),
            (true, Some(output)) => {
                let probe = fake_return(output);
                quote!(async move { #probe #body })
            }
            (true, None) => quote!(async move { #body }),
        }
    }
}

const LINTS: [&str; 5] = ["allow", "warn", "deny", "forbid", "expect"];

/// Returns a `return` that never runs and fixes the type of an `async` block, so that `?` and coercions work.
fn fake_return(output: &Type) -> TokenStream {
    quote! {
        #[allow(
            unknown_lints, unreachable_code, clippy::diverging_sub_expression, clippy::empty_loop,
            clippy::let_unit_value, clippy::needless_return, clippy::unreachable
        )]
        if false {
            let __retain_output: #output = loop {};
            return __retain_output;
        }
    }
}

/// Returns the name that an argument binds, if it is a plain one.
pub(crate) fn bound_name(argument: &FnArg) -> Option<Ident> {
    match argument {
        FnArg::Receiver(receiver) => Some(Ident::new("self", receiver.self_token.span)),
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(ident) if ident.by_ref.is_none() && ident.subpat.is_none() => Some(ident.ident.clone()),
            _ => None,
        },
    }
}

/// Returns the names of all arguments but `self`; the index is that of the declaration.
pub(crate) fn names(sig: &Signature) -> Vec<Ident> {
    sig.inputs
        .iter()
        .filter(|input| matches!(input, FnArg::Typed(_)))
        .map(|input| bound_name(input).unwrap_or_else(|| Ident::new("_unnamed", Span::call_site())))
        .collect()
}
