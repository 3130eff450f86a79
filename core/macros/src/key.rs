//! Determines the key of a retained function.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprPath, Ident, Type, UnOp, parse_quote};

use crate::attr::Options;
use crate::errors::Errors;
use crate::signature::Inputs;
use crate::template::{Scope, Template};
use crate::types::{is_std, single_key, spelled, tuple_key};
use crate::values::KeyArgument;

pub(crate) enum Key {
    /// All arguments that are not skipped. The flag is true if their types are spelled as those of the standard library.
    Arguments(Vec<usize>, bool),
    Template(Template, Vec<usize>),
    Expression(Expr),
}

impl Key {
    pub(crate) fn new(options: &Options, inputs: &Inputs, scope: &Scope<'_>, errors: &mut Errors) -> Option<Key> {
        let key = match &options.key {
            None => {
                let kept = inputs.inputs.iter().enumerate().filter(|(_, input)| !scope.skipped.contains(&input.name));
                let is_std = kept.clone().all(|(_, input)| is_std(&input.ty));
                Key::Arguments(kept.map(|(index, _)| index).collect(), is_std)
            }
            Some(KeyArgument::Template(text)) => {
                let mut template = errors.take(Template::parse(text, scope))?;
                template.types = template.values.iter().map(|value| spelled(&inputs.inputs[*value].ty)).collect();
                let arguments = template.arguments();
                Key::Template(template, arguments)
            }
            Some(KeyArgument::Expression(expr)) => {
                check_skipped(expr, scope.skipped, errors);
                Key::Expression(single(expr.clone()))
            }
        };
        if let Some(arguments) = key.arguments() {
            inputs.check_key(arguments, errors);
        }
        Some(key)
    }

    /// Returns the arguments of the key, in the order of their declaration; `None` for an expression.
    pub(crate) fn arguments(&self) -> Option<&[usize]> {
        match self {
            Key::Arguments(arguments, _) | Key::Template(_, arguments) => Some(arguments),
            Key::Expression(_) => None,
        }
    }

    /// Returns whether an argument is part of the key.
    pub(crate) fn uses(&self, index: usize, name: &Ident) -> bool {
        match self {
            Key::Arguments(arguments, _) | Key::Template(_, arguments) => arguments.contains(&index),
            Key::Expression(expr) => names(expr, name),
        }
    }

    /// Returns the type by which a handle takes the key.
    pub(crate) fn ty(&self, inputs: &Inputs, rt: &TokenStream) -> Type {
        match self.arguments() {
            None | Some([]) => parse_quote!(()),
            Some([one]) => single_key(&inputs.inputs[*one].ty, rt),
            Some(several) => {
                let types = several.iter().map(|index| tuple_key(&inputs.inputs[*index].ty, rt));
                parse_quote!((#(#types),*))
            }
        }
    }

    /// Returns statements that bind `__retain_key` to the key source, over variables of the arguments' names.
    ///
    /// What is bound here and looked up elsewhere has names of this attribute's own: an option that came through a
    /// `macro_rules!` has spans in which they would not be found.
    pub(crate) fn bind(&self, rt: &TokenStream, names: &[Ident]) -> TokenStream {
        match self {
            Key::Arguments(arguments, is_std) => {
                let args = if *is_std { quote!(#rt::StdArgs) } else { quote!(#rt::Args) };
                let parts = arguments.iter().map(|index| {
                    let name = &names[*index];
                    quote!(#rt::KeyPart(&#name).__retain_part())
                });
                let parts = parts.collect::<Vec<_>>();
                match &parts[..] {
                    [one] => quote!(let __retain_key = #args(#one);),
                    _ => quote!(let __retain_key = #args((#(#parts),*));),
                }
            }
            Key::Template(template, _) => {
                let source = template.source(rt, names);
                quote!(let __retain_key = #source;)
            }
            Key::Expression(expr) => {
                // The expression runs only because of the cache: a panic in it must not become the caller's.
                let value = by_reference(expr, rt);
                quote! {
                    let __retain_value = #rt::key_value(|| #value);
                    let __retain_key = #rt::Args(&__retain_value);
                }
            }
        }
    }
}

/// Unwraps a tuple of one: `(id,)` and `id` are the same key.
pub(crate) fn single(expr: Expr) -> Expr {
    match expr {
        Expr::Tuple(tuple) if tuple.elems.len() == 1 => tuple.elems.into_iter().next().expect("there is one"),
        Expr::Paren(inner) => single(*inner.expr),
        Expr::Group(inner) => single(*inner.expr),
        other => other,
    }
}

/// Borrows places, at the top or in a tuple: naming an argument in a key does not move it. A temporary that the
/// expression borrows is taken by value: it would not outlive the closure that makes it.
fn by_reference(expr: &Expr, rt: &TokenStream) -> TokenStream {
    let argument = quote_spanned!(expr.span()=> <_ as __retain_asks::Requirements>);
    match expr {
        Expr::Tuple(tuple) => {
            let elems = tuple.elems.iter().map(|elem| by_reference(elem, rt));
            quote!((#(#elems,)*))
        }
        Expr::Group(group) => by_reference(&group.expr, rt),
        _ if is_place(expr) => quote!(#rt::KeyPart(#argument::is_in_key(&#expr)).__retain_part()),
        Expr::Reference(reference) if reference.mutability.is_none() && !is_place(&reference.expr) => {
            by_reference(&reference.expr, rt)
        }
        _ => quote!(#rt::KeyPartByValue(#argument::value_in_key(#expr)).__retain_part()),
    }
}

fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base) || matches!(&*field.base, Expr::MethodCall(_)),
        Expr::Index(index) => is_place(&index.expr),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(inner) => is_place(&inner.expr),
        Expr::Group(inner) => is_place(&inner.expr),
        _ => false,
    }
}

fn names(expr: &Expr, name: &Ident) -> bool {
    struct Named<'a>(&'a Ident, bool);
    impl<'a> Visit<'a> for Named<'_> {
        fn visit_expr_path(&mut self, path: &'a ExprPath) {
            self.1 |= path.path.is_ident(self.0);
            visit::visit_expr_path(self, path);
        }
    }
    let mut named = Named(name, false);
    named.visit_expr(expr);
    named.1
}

fn check_skipped(expr: &Expr, skipped: &[Ident], errors: &mut Errors) {
    struct Uses<'a>(&'a [Ident], &'a mut Errors);
    impl<'a> Visit<'a> for Uses<'_> {
        fn visit_expr_path(&mut self, path: &'a ExprPath) {
            if let Some(name) = path.path.get_ident()
                && self.0.contains(name)
            {
                self.1.at(name, format!("`{name}` is skipped and cannot be used here: take it out of `skip`"));
            }
            visit::visit_expr_path(self, path);
        }
    }
    Uses(skipped, errors).visit_expr(expr);
}
