//! Checks the signature of a retained function and takes its arguments apart.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::visit::{self, Visit};
use syn::{
    Expr, ExprPath, FnArg, GenericParam, Ident, PatIdent, Receiver, ReceiverKind, Signature, Type, WhereClause,
    WherePredicate, parse_quote,
};

use crate::attr::Options;
use crate::errors::Errors;
use crate::function::{Function, bound_name};
use crate::types::{is_nothing, parts};
use crate::values::Handle;

/// An argument other than `self`.
pub(crate) struct Input {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

pub(crate) struct Inputs {
    pub(crate) receiver: Option<Receiver>,
    pub(crate) inputs: Vec<Input>,
}

impl Inputs {
    pub(crate) fn read(sig: &Signature, errors: &mut Errors) -> Inputs {
        let mut read = Inputs { receiver: None, inputs: Vec::new() };
        for input in &sig.inputs {
            match input {
                FnArg::Receiver(receiver) => read.receiver = Some(receiver.clone()),
                FnArg::Typed(typed) => {
                    if let Some(found) = parts(&typed.ty).impl_trait {
                        errors.at(
                            found,
                            "the type behind `impl Trait` cannot be named: write a type parameter, `<T: …>`",
                        );
                    }
                    for attr in typed.attrs.iter().filter(|attr| attr.path().is_ident("cfg")) {
                        errors.at(attr, "an argument cannot come and go with `cfg`: put `cfg` on two functions");
                    }
                    match bound_name(input) {
                        Some(name) => read.inputs.push(Input { name, ty: Type::clone(&typed.ty) }),
                        None => errors.at(
                            &typed.pat,
                            "this argument has no name: name it here, and take it apart in the function's body",
                        ),
                    }
                }
            }
        }
        read
    }

    pub(crate) fn names(&self) -> Vec<Ident> {
        self.inputs.iter().map(|input| input.name.clone()).collect()
    }

    /// Checks that each skipped name is an argument's.
    pub(crate) fn check_skipped(&self, skipped: &[Ident], errors: &mut Errors) {
        for name in skipped {
            let known =
                if name == "self" { self.receiver.is_some() } else { self.inputs.iter().any(|i| i.name == *name) };
            if !known {
                errors.at(name, self.unknown(name));
            }
        }
    }

    fn unknown(&self, name: &Ident) -> String {
        let names = self.inputs.iter().map(|input| input.name.to_string()).collect::<Vec<_>>();
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        match crate::nearest::nearest(&name.to_string(), &names) {
            Some(near) => format!("there is no argument `{name}` to skip: did you mean `{near}`?"),
            None => format!("there is no argument `{name}` to skip"),
        }
    }

    /// Reports arguments that may not be part of a key.
    pub(crate) fn check_key(&self, indices: &[usize], errors: &mut Errors) {
        const MOST: usize = 12;
        for input in indices.iter().map(|index| &self.inputs[*index]) {
            let name = &input.name;
            if let Type::Reference(reference) = &input.ty
                && reference.mutability.is_some()
            {
                errors.at(&input.ty, format!(
                    "a kept result cannot repeat what the function does to `{name}`: leave it out with `skip({name})`, or \
                     take it by value"
                ));
            }
            if let Some(set) = parts(&input.ty).hash_set {
                errors.at(set, format!(
                    "a `HashSet` has no stable order and cannot be in a key: take a `BTreeSet`, or leave it out with \
                     `skip({name})`"
                ));
            }
        }
        if indices.len() > MOST {
            let input = &self.inputs[indices[MOST]];
            errors.at(&input.name, format!(
                "a key has at most {MOST} arguments: put them into a struct, leave some out with `skip(…)`, or name the \
                 key with `key = …`"
            ));
        }
    }
}

/// Checks that the return type can be cached: it borrows nothing.
pub(crate) fn check_output(function: &Function, errors: &mut Errors) {
    let output = function.output();
    if is_nothing(&output) {
        let at = match &function.sig.output {
            syn::ReturnType::Default => function.sig.ident.to_token_stream(),
            syn::ReturnType::Type(_, ty) => ty.to_token_stream(),
        };
        errors.at(at, "this function returns nothing that could be kept: return a value, or take the attribute away");
        return;
    }
    let found = parts(&output);
    if found.future {
        errors.at(&output, "this function returns a future, not a value: write it as `async fn`");
    } else if let Some(found) = found.impl_trait {
        errors.at(found, "the type behind `impl Trait` cannot be named: return a type that has a name");
    } else if let Some(first) = found.borrowed.first() {
        errors.at(
            first,
            "a kept result outlives the call and cannot borrow from its arguments: return an owned value, such as \
             `String` or `Arc<T>`",
        );
    }
}

/// Reports `#[track_caller]` on a method without a handle, whose body has no place but a closure.
pub(crate) fn check_caller(function: &Function, inputs: &Inputs, options: &Options, errors: &mut Errors) {
    let associated = inputs.receiver.is_some() || options.assoc.is_some();
    if associated && matches!(options.handle, Handle::Off) && !function.is_async() {
        for attr in function.attrs.iter().filter(|attr| attr.path().is_ident("track_caller")) {
            errors
                .at(attr, "with `handle = off` the body of a method does not see its caller: take `track_caller` away");
        }
    }
}

/// Checks methods, functions of an `impl`, and places where the handle conflicts.
pub(crate) fn check_place(function: &Function, inputs: &Inputs, options: &Options, errors: &mut Errors) {
    let name = &function.sig.ident;
    match &inputs.receiver {
        Some(receiver) => {
            if let Some(span) = options.assoc {
                errors.at_span(span, "`assoc` is for a function of an `impl` without `self`: take it away");
            }
            if options.key.is_none() && !options.skip.iter().any(|name| name == "self") {
                errors.at(receiver, format!(
                    "`#[retain]` does not know what of `self` belongs to the key of `{name}`: say `skip(self)` if its \
                     result depends on nothing in it, or name what it depends on, such as `key = (self.tenant, id)`"
                ));
            }
            if matches!(&receiver.kind, ReceiverKind::Typed(_, ty) if parts(ty).impl_trait.is_some()) {
                errors.at(receiver, "`self` cannot be an `impl Trait`");
            }
        }
        None if options.assoc.is_none() => {
            let types = inputs.inputs.iter().map(|input| &input.ty);
            let output = function.output();
            if let Some(path) = types.chain([&output]).find_map(|ty| parts(ty).self_type) {
                errors.at(path, "this function of an `impl` has no `self`: say `assoc`, as in `#[retain(assoc)]`");
            }
            check_handle_name(function, options, errors);
        }
        None => {}
    }
}

/// Reports a closure of `when` or `err_if` that uses an argument.
pub(crate) fn check_captures(closure: &Expr, inputs: &Inputs, errors: &mut Errors) {
    #[derive(Default)]
    struct Names<'a> {
        used: Vec<&'a Ident>,
        bound: Vec<&'a Ident>,
    }
    impl<'a> Visit<'a> for Names<'a> {
        fn visit_expr_path(&mut self, path: &'a ExprPath) {
            self.used.extend(path.path.get_ident());
            visit::visit_expr_path(self, path);
        }

        fn visit_pat_ident(&mut self, pattern: &'a PatIdent) {
            self.bound.push(&pattern.ident);
            visit::visit_pat_ident(self, pattern);
        }
    }
    let mut names = Names::default();
    names.visit_expr(closure);
    for used in &names.used {
        let is_argument = *used == "self" || inputs.inputs.iter().any(|input| input.name == **used);
        if is_argument && !names.bound.contains(used) {
            errors.at(used, format!("this closure sees what the function returned, and not its argument `{used}`"));
        }
    }
}

/// Reports a handle whose name would hide a primitive type in the whole module.
fn check_handle_name(function: &Function, options: &Options, errors: &mut Errors) {
    const PRIMITIVES: [&str; 17] = [
        "bool", "char", "str", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
        "f32", "f64",
    ];
    let name = match &options.handle {
        Handle::Own => &function.sig.ident,
        Handle::Named(name) => name,
        Handle::Off => return,
    };
    if PRIMITIVES.iter().any(|primitive| name == primitive) {
        errors.at(
            name,
            format!("the handle of this function would hide the type `{name}`: say `handle = Name`, or `handle = off`"),
        );
    }
}

/// Adds the bound `TypeTag` to each type parameter, so that the type becomes part of the key.
///
/// The bound goes where the parameter has its others: clippy reports bounds in two places.
pub(crate) fn bound_type_parameters(sig: &mut Signature, rt: &TokenStream) {
    let in_clause = |clause: &Option<WhereClause>, name: &Ident| {
        clause.iter().flat_map(|clause| &clause.predicates).any(|predicate| {
            matches!(predicate, WherePredicate::Type(bound)
                if matches!(&bound.bounded_ty, Type::Path(path) if path.path.is_ident(name)))
        })
    };
    let mut predicates = Vec::<WherePredicate>::new();
    for parameter in sig.generics.params.iter_mut() {
        let GenericParam::Type(parameter) = parameter else {
            continue;
        };
        let name = &parameter.ident;
        let bound = quote_spanned!(name.span().resolved_at(Span::mixed_site())=> #rt::TypeTag);
        if parameter.bounds.is_empty() && in_clause(&sig.generics.where_clause, name) {
            predicates.push(parse_quote!(#name: #bound));
        } else {
            parameter.bounds.push(parse_quote!(#bound));
        }
    }
    if !predicates.is_empty() {
        sig.generics.make_where_clause().predicates.extend(predicates);
    }
}

/// Returns whether a function has type or const parameters; lifetimes alone make no difference.
pub(crate) fn is_generic(sig: &Signature) -> bool {
    sig.generics.params.iter().any(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
}

/// Returns the spans where a return type begins and ends, for messages about it.
pub(crate) fn output_spans(function: &Function) -> (Span, Span) {
    let tokens = function.output().into_token_stream().into_iter().map(|token| token.span()).collect::<Vec<_>>();
    let name = function.sig.ident.span();
    (tokens.first().copied().unwrap_or(name), tokens.last().copied().unwrap_or(name))
}
