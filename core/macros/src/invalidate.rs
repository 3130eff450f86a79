//! Expands `#[invalidate]`: removes stale entries after a function has succeeded.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, LitStr, Path};

use crate::arguments::{Names, as_text};
use crate::attr::default_root;
use crate::errors::{Errors, report};
use crate::function::{Function, names};
use crate::key::single;
use crate::put::{KEY, OF, name_function};
use crate::template::{Scope, Template};
use crate::writer::{succeeded, wrap};

const NAMES: Names = Names { attribute: "invalidate", known: &["of", "key", "tags", "crate"], later: &[] };

struct Options {
    of: Option<Path>,
    key: Option<Expr>,
    tags: Vec<LitStr>,
    root: Path,
}

/// Expands `#[invalidate]`.
pub(crate) fn invalidate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item.clone()).unwrap_or_else(|error| report(&error, item))
}

fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let options = Options::parse(arguments, &mut errors);
    let Some(function) = errors.take(syn::parse2::<Function>(item)) else {
        return Err(errors.finish().expect_err("one was just taken"));
    };
    function.check_kind(&mut errors);
    let names = names(&function.sig);
    let scope = Scope { arguments: &names, skipped: &[] };
    let tags = options.tags.iter().filter_map(|tag| errors.take(Template::parse(tag, &scope))).collect::<Vec<_>>();
    errors.finish()?;

    let root = &options.root;
    let rt = quote!(#root::__private);
    let (mut before, mut after) = (TokenStream::new(), TokenStream::new());
    if let Some(of) = &options.of {
        options.function(of, &function, &rt, &mut before, &mut after);
    }
    if !tags.is_empty() {
        let tags = tags.iter().map(|tag| tag.tag(&rt, &names));
        before.extend(quote! {
            let __retain_tags = #rt::std::vec::Vec::<#rt::std::string::String>::from([#(#tags),*]);
        });
        after.extend(call(&function, &rt, "invalidate_tags", &quote!(), &quote!(__retain_tags)));
    }
    let succeeded = succeeded(&rt, &function);
    Ok(wrap(&function, &rt, &before, &quote!(if #succeeded { #after })))
}

impl Options {
    fn parse(tokens: TokenStream, errors: &mut Errors) -> Options {
        let mut options = Options { of: None, key: None, tags: Vec::new(), root: default_root() };
        for argument in NAMES.read(tokens, errors) {
            let result = match argument.name.to_string().as_str() {
                "of" => argument.path(OF).map(|of| options.of = Some(of)),
                "key" => argument.expression(KEY).map(|key| options.key = Some(single(key))),
                "tags" => argument.list("text, such as `tags(\"user:{id}\")`", as_text).map(|tags| options.tags = tags),
                _ => argument.path("the path under which retainit is found").map(|root| options.root = root),
            };
            if errors.take(result).is_none() {
                // The intention is known: a second message about missing arguments would only confuse.
                return options.with_something();
            }
        }
        match (&options.of, &options.key) {
            (None, Some(key)) => errors.at(key, "a `key` of which function? say `of`, as in `of = user, key = (id,)`"),
            (None, None) if options.tags.is_empty() => errors.at_span(
                proc_macro2::Span::call_site(),
                "`#[invalidate]` does not say what: `of = user, key = (id,)`, `of = user` or `tags(\"user:{id}\")`",
            ),
            _ => {}
        }
        options
    }

    fn with_something(mut self) -> Options {
        self.tags.clear();
        self
    }

    /// Returns the call that removes one entry of a function, or all of them.
    fn function(
        &self,
        of: &Path,
        function: &Function,
        rt: &TokenStream,
        before: &mut TokenStream,
        after: &mut TokenStream,
    ) {
        let (named, of) = name_function(of);
        before.extend(named);
        let target = quote_spanned!(of.span()=> ::<#of>);
        if let Some(key) = &self.key {
            let key = quote_spanned!(key.span()=> &#key);
            let key = quote_spanned!(of.span()=> <#of>::__key(#key));
            before.extend(quote!(let __retain_key = #rt::own_key(|| #key);));
            after.extend(call(function, rt, "invalidate_key", &target, &quote!(__retain_key)));
        } else {
            after.extend(call(function, rt, "invalidate_all", &target, &quote!()));
        }
    }
}

/// Returns the call of a function of the runtime, or of its blocking counterpart.
fn call(
    function: &Function,
    rt: &TokenStream,
    name: &str,
    target: &TokenStream,
    arguments: &TokenStream,
) -> TokenStream {
    if function.is_async() {
        let name = quote::format_ident!("{name}");
        quote!(#rt::#name #target (#arguments).await;)
    } else {
        let name = quote::format_ident!("{name}_sync");
        quote!(#rt::#name #target (#arguments);)
    }
}
