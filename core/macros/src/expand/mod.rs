//! From `#[retain]` and a function to the function with a cache in front of it.

mod body;
mod handle;
mod reload;
mod site;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, Type};

use crate::attr::Options;
use crate::errors::{Errors, report};
use crate::function::Function;
use crate::key::Key;
use crate::signature::{self, Inputs};
use crate::template::{Scope, Template};
use crate::types::{Owned, owned, parts};
use crate::values::Handle;

/// Where the generated parts can stand.
pub(crate) enum Place {
    /// A free function; a type of this name goes beside it and holds its body.
    Item(Ident),
    /// In an `impl` or a trait, where `Self` has a meaning; with the name of its handle.
    Associated(Option<Ident>),
    /// Everything has to be inside the function.
    Inside,
}

/// A retained function, understood.
pub(crate) struct Retained {
    options: Options,
    function: Function,
    inputs: Inputs,
    names: Vec<Ident>,
    key: Key,
    tags: Vec<Template>,
    place: Place,
    output: Type,
    rt: TokenStream,
}

/// The attribute.
pub(crate) fn retain(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match Retained::read(arguments, item.clone()) {
        Ok(retained) => retained.expand(),
        Err(error) => report(&error, item),
    }
}

impl Retained {
    fn read(arguments: TokenStream, item: TokenStream) -> syn::Result<Retained> {
        let mut errors = Errors::default();
        let options = Options::parse(arguments, &mut errors);
        let Some(mut function) = errors.take(syn::parse2::<Function>(item)) else {
            return Err(errors.finish().expect_err("one was just taken"));
        };
        function.check_kind(&mut errors);
        signature::check_output(&function, &mut errors);
        let inputs = Inputs::read(&function.sig, &mut errors);
        inputs.check_skipped(&options.skip, &mut errors);
        signature::check_place(&function, &inputs, &options, &mut errors);
        let names = inputs.names();
        let scope = Scope { arguments: &names, skipped: &options.skip };
        let key = Key::new(&options, &inputs, &scope, &mut errors);
        let tags = options.tags.iter().filter_map(|tag| errors.take(Template::parse(tag, &scope))).collect();
        let place = place(&options, &function, &inputs);
        errors.finish()?;
        let rt = options.rt();
        signature::bound_type_parameters(&mut function.sig, &rt);
        if matches!(place, Place::Item(_)) {
            function.relax_expectations();
        }
        let output = function.output();
        let key = key.expect("without a key there was an error");
        Ok(Retained { options, function, inputs, names, key, tags, place, output, rt })
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
        self.function.sig.asyncness.is_some()
    }

    fn is_generic(&self) -> bool {
        signature::is_generic(&self.function.sig)
    }

    /// The question about the return type. A spelled reference keeps it from being asked whether it has bytes.
    fn facts(&self) -> TokenStream {
        let (rt, output) = (&self.rt, &self.output);
        if parts(output).reference { quote!(#rt::facts!(ref #output)) } else { quote!(#rt::facts!(#output)) }
    }

    /// The owned form of each argument, if all have one.
    fn owned(&self) -> Option<Vec<Owned>> {
        self.inputs.inputs.iter().map(|input| owned(&input.ty)).collect()
    }

    /// The arguments that key and tags use: the body, which moves to a function of its own, need not use them again.
    fn used(&self) -> Vec<&Ident> {
        let in_tag = |index: usize| self.tags.iter().any(|tag| tag.values.contains(&index));
        let used = |(index, name): &(usize, &Ident)| self.key.uses(*index, name) || in_tag(*index);
        self.names.iter().enumerate().filter(used).map(|(_, name)| name).collect()
    }

    /// The tags of one call, over variables of the arguments' names.
    fn tag_values(&self) -> TokenStream {
        let tags = self.tags.iter().map(|tag| tag.tag(&self.rt, &self.names));
        quote!(::std::vec::Vec::<::std::string::String>::from([#(#tags),*]))
    }

    /// Whether the tags of an entry are known from its key alone.
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
    match handle {
        _ if inputs.receiver.is_some() || options.assoc.is_some() => Place::Associated(handle),
        Some(name) => Place::Item(name),
        None => Place::Inside,
    }
}
