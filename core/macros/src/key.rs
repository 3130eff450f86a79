//! What the key of a retained function is made of.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprPath, Ident, Type, UnOp, parse_quote};

use crate::attr::Options;
use crate::errors::Errors;
use crate::signature::Inputs;
use crate::template::{Scope, Template};
use crate::types::{single_key, tuple_key};
use crate::values::KeyArgument;

pub(crate) enum Key {
    /// The arguments that are not skipped.
    Arguments(Vec<usize>),
    Template(Template, Vec<usize>),
    Expression(Expr),
}

impl Key {
    pub(crate) fn new(options: &Options, inputs: &Inputs, scope: &Scope<'_>, errors: &mut Errors) -> Option<Key> {
        let key = match &options.key {
            None => {
                let kept = inputs.inputs.iter().enumerate().filter(|(_, input)| !scope.skipped.contains(&input.name));
                Key::Arguments(kept.map(|(index, _)| index).collect())
            }
            Some(KeyArgument::Template(text)) => {
                let template = errors.take(Template::parse(text, scope))?;
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

    /// The arguments it consists of, in the order of their declaration; `None` where only an expression knows.
    pub(crate) fn arguments(&self) -> Option<&[usize]> {
        match self {
            Key::Arguments(arguments) | Key::Template(_, arguments) => Some(arguments),
            Key::Expression(_) => None,
        }
    }

    /// Whether an argument is part of it.
    pub(crate) fn uses(&self, index: usize, name: &Ident) -> bool {
        match self {
            Key::Arguments(arguments) | Key::Template(_, arguments) => arguments.contains(&index),
            Key::Expression(expr) => names(expr, name),
        }
    }

    /// The type by which a handle takes it.
    pub(crate) fn ty(&self, inputs: &Inputs) -> Type {
        match self.arguments() {
            None | Some([]) => parse_quote!(()),
            Some([one]) => single_key(&inputs.inputs[*one].ty),
            Some(several) => {
                let types = several.iter().map(|index| tuple_key(&inputs.inputs[*index].ty));
                parse_quote!((#(#types),*))
            }
        }
    }

    /// Statements that leave the key source in `__retain_key`, over variables of the arguments' names.
    pub(crate) fn bind(&self, rt: &TokenStream, names: &[Ident]) -> TokenStream {
        match self {
            Key::Arguments(arguments) => {
                let parts = arguments.iter().map(|index| {
                    let name = &names[*index];
                    quote_spanned!(name.span()=> #rt::key_part(&#name))
                });
                let parts = parts.collect::<Vec<_>>();
                match &parts[..] {
                    [one] => quote!(let __retain_key = #rt::Args(#one);),
                    _ => quote!(let __retain_key = #rt::Args((#(#parts),*));),
                }
            }
            Key::Template(template, _) => {
                let source = template.source(rt, names);
                quote!(let __retain_key = #source;)
            }
            Key::Expression(expr) => {
                // The expression runs only because of the cache, which answers for its panic.
                let value = by_reference(expr);
                let value = quote!(|| #value);
                quote_spanned! {expr.span()=>
                    let __retain_value = #rt::key_value(#value);
                    let __retain_key = #rt::Args(&__retain_value);
                }
            }
        }
    }
}

/// A tuple of one is what is in it: `(id,)` and `id` are the same key.
pub(crate) fn single(expr: Expr) -> Expr {
    match expr {
        Expr::Tuple(tuple) if tuple.elems.len() == 1 => tuple.elems.into_iter().next().expect("there is one"),
        Expr::Paren(inner) => single(*inner.expr),
        other => other,
    }
}

/// Places, at the top or in a tuple, are borrowed: naming an argument in a key does not move it. What is borrowed by the
/// expression itself, and is no place, is taken by value: it would not outlive the closure that makes it.
fn by_reference(expr: &Expr) -> TokenStream {
    match expr {
        Expr::Tuple(tuple) => {
            let elems = tuple.elems.iter().map(by_reference);
            quote_spanned!(tuple.paren_token.span.join()=> (#(#elems,)*))
        }
        _ if is_place(expr) => quote_spanned!(expr.span()=> &#expr),
        Expr::Reference(reference) if reference.mutability.is_none() && !is_place(&reference.expr) => {
            by_reference(&reference.expr)
        }
        _ => quote!(#expr),
    }
}

fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base) || matches!(&*field.base, Expr::MethodCall(_)),
        Expr::Index(index) => is_place(&index.expr),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(inner) => is_place(&inner.expr),
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
