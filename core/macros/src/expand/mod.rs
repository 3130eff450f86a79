//! Expands `#[retain]`: generates a function with a cache in front of it.

mod body;
mod handle;
mod reload;
mod site;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Ident, Type};

use crate::attr::Options;
use crate::errors::{Errors, report};
use crate::function::Function;
use crate::key::Key;
use crate::signature::{self, Inputs};
use crate::template::{Scope, Template};
use crate::types::{Owned, owned, parts};
use crate::values::Handle;

/// Place of the generated items.
pub(crate) enum Place {
    /// Beside a free function: a type of this name, which holds its body.
    Item(Ident),
    /// In an `impl` or a trait, where `Self` has a meaning, with the name of the handle.
    Associated(Option<Ident>),
    /// Inside the function.
    Inside,
}

/// A retained function, parsed and checked.
pub(crate) struct Retained {
    options: Options,
    function: Function,
    inputs: Inputs,
    names: Vec<Ident>,
    key: Key,
    tags: Vec<Template>,
    place: Place,
    output: Type,
    /// Path of what generated code uses, where a free function and the constant beside it import it by a short name:
    /// each token of a path costs compile time.
    rt: TokenStream,
    /// Path of the same, where there is no such import.
    full_rt: TokenStream,
}

/// Expands `#[retain]`.
pub(crate) fn retain(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let options = Options::parse(arguments, &mut errors);
    let mut function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(error);
            return report(&errors.finish().expect_err("one was just put in"), item);
        }
    };
    function.refuse_later(&mut errors);
    let item = function.to_token_stream();
    match Retained::read(options, function, errors) {
        Ok(retained) => retained.expand(),
        Err(error) => report(&error, item),
    }
}

impl Retained {
    fn read(options: Options, mut function: Function, mut errors: Errors) -> syn::Result<Retained> {
        function.check_kind(&mut errors);
        signature::check_output(&function, &mut errors);
        let inputs = Inputs::read(&function.sig, &mut errors);
        inputs.check_skipped(&options.skip, &mut errors);
        signature::check_place(&function, &inputs, &options, &mut errors);
        signature::check_caller(&function, &inputs, &options, &mut errors);
        let names = inputs.names();
        let scope = Scope { arguments: &names, skipped: &options.skip };
        let key = Key::new(&options, &inputs, &scope, &mut errors);
        for closure in [&options.when, &options.err_if, &options.ttl_of].into_iter().flatten() {
            signature::check_captures(closure, &inputs, &mut errors);
        }
        let tags = options.tags.iter().filter_map(|tag| errors.take(Template::parse(tag, &scope))).collect();
        let place = place(&options, &function, &inputs);
        errors.finish()?;
        let full_rt = options.rt();
        signature::bound_type_parameters(&mut function.sig, &full_rt);
        let mut rt = full_rt.clone();
        if matches!(place, Place::Item(_)) {
            function.relax_expectations();
            rt = quote!(__retain_rt);
        }
        let output = function.output();
        let key = key.expect("without a key there was an error");
        Ok(Retained { options, function, inputs, names, key, tags, place, output, rt, full_rt })
    }

    fn expand(&self) -> TokenStream {
        let function = self.outer();
        let handle = match &self.place {
            Place::Item(name) => self.handle_type(name),
            Place::Associated(Some(name)) => self.handle_functions(name),
            Place::Associated(None) | Place::Inside => TokenStream::new(),
        };
        quote!(#function #handle)
    }

    fn is_async(&self) -> bool {
        self.function.is_async()
    }

    fn is_generic(&self) -> bool {
        signature::is_generic(&self.function.sig)
    }

    /// Returns the expression of the return type's operations. For a spelled reference it does not check whether the
    /// type can be serialized.
    fn return_ops(&self) -> TokenStream {
        let (rt, output) = (&self.rt, &self.output);
        if parts(output).reference { quote!(#rt::return_ops!(ref #output)) } else { quote!(#rt::return_ops!(#output)) }
    }

    /// Returns the type beside the function that has the return type's operations.
    fn ops_place(&self) -> Option<&Ident> {
        match &self.place {
            Place::Item(name) if !self.is_generic() => Some(name),
            _ => None,
        }
    }

    /// Returns the return type's operations. They are asked once where there is a place for the answer: the questions
    /// cost the compiler more than all else about a function.
    fn ops(&self) -> TokenStream {
        self.ops_place().map_or_else(|| self.return_ops(), |name| quote!(<#name>::__ops()))
    }

    /// Returns the owned form of each argument, if all have one.
    fn owned(&self, rt: &TokenStream) -> Option<Vec<Owned>> {
        self.inputs.inputs.iter().map(|input| owned(&input.ty, rt)).collect()
    }

    /// The name of the function that holds the body beside a free function: the function's own, which is what messages
    /// and backtraces then show.
    fn loader(&self) -> Ident {
        let name = &self.function.sig.ident;
        let taken =
            ["cache", "__call", "__key", "__ops", "__put", "__rules", "__site"].iter().any(|taken| name == taken);
        if taken { Ident::new("__load", name.span()) } else { name.clone() }
    }

    /// Returns the arguments that key and tags use. The body, which moves to a function of its own, need not use them.
    fn used(&self) -> Vec<&Ident> {
        let in_tag = |index: usize| self.tags.iter().any(|tag| tag.values.contains(&index));
        let used = |(index, name): &(usize, &Ident)| self.key.uses(*index, name) || in_tag(*index);
        self.names.iter().enumerate().filter(used).map(|(_, name)| name).collect()
    }

    /// Returns the tags of one call, over variables of the arguments' names.
    fn tag_values(&self) -> TokenStream {
        let rt = &self.rt;
        if self.tags.is_empty() {
            return quote!(#rt::std::vec::Vec::new());
        }
        let tags = self.tags.iter().map(|tag| tag.tag(rt, &self.names));
        quote!(#rt::std::vec::Vec::<#rt::std::string::String>::from([#(#tags),*]))
    }

    /// Returns whether the tags of an entry depend on its key alone.
    fn tags_follow_from_key(&self) -> bool {
        let known = self.key.arguments().unwrap_or_default();
        self.tags.iter().all(|tag| tag.values.iter().all(|value| known.contains(value)))
    }
}

fn place(options: &Options, function: &Function, inputs: &Inputs) -> Place {
    let handle = match &options.handle {
        Handle::Own => Some(function.sig.ident.clone()),
        Handle::Named(name) => Some(name.clone()),
        Handle::Off => None,
    };
    let handle = handle.map(|mut name| {
        name.set_span(handle::generated(&name));
        name
    });
    match handle {
        _ if inputs.receiver.is_some() || options.assoc.is_some() => Place::Associated(handle),
        Some(name) => Place::Item(name),
        None => Place::Inside,
    }
}
