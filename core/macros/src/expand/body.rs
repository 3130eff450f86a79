//! Generates the function that callers see: a look into the cache, then the engine with the body as its loader.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, Ident, Pat, Signature, parse_quote};

use super::handle::{method_load_name, misplaced};
use super::{Place, Retained};
use crate::attr::Options;
use crate::key::Key;
use crate::signature::output_spans;
use crate::template::respan;
use crate::types::references;

impl Retained {
    pub(super) fn outer(&self) -> TokenStream {
        let (rt, full_rt) = (&self.rt, &self.full_rt);
        let statements = match self.call_name() {
            Some(name) => {
                let names = &self.names;
                quote!(<#name>::__call(#(#names,)* #rt::How::Call).result)
            }
            None => self.statements(false),
        };
        let found = match &self.place {
            Place::Item(name) => {
                let misplaced = misplaced(name);
                quote!(use #misplaced as #name; use #full_rt as #rt;)
            }
            _ => TokenStream::new(),
        };
        self.function.with_body(&self.outer_signature(), quote!(#found #statements), full_rt)
    }

    /// Returns the name of the type beside a sync function whose call and reload share their code.
    fn call_name(&self) -> Option<&Ident> {
        match &self.place {
            Place::Item(name) if !self.is_async() && !self.is_generic() && self.owned(&self.rt).is_some() => Some(name),
            _ => None,
        }
    }

    /// Generates call and reload of such a function together: checks of the return type cost compile time.
    pub(super) fn call(&self) -> TokenStream {
        if self.call_name().is_none() {
            return TokenStream::new();
        }
        let (rt, output) = (&self.rt, &self.output);
        let mut sig = self.outer_signature();
        sig.ident = Ident::new("__call", sig.ident.span());
        sig.inputs.push(parse_quote!(__retain_how: #rt::How));
        sig.output = parse_quote!(-> #rt::Reloaded<#output>);
        let statements = self.statements(true);
        let track_caller = self.track_caller();
        quote! {
            #[inline(always)]
            #track_caller
            #sig { #statements }
        }
    }

    /// Returns the look into the cache and the statements after it: of a call, or of what calls and reloads share, which
    /// returns the result with its outcome.
    fn statements(&self, reloads: bool) -> TokenStream {
        let (rt, ops, site) = (&self.rt, self.ops(), self.site());
        let key = self.key.bind(rt, &self.names);
        let (tags, mut checks, run) = (self.tags(), self.key_checks(), self.run(reloads));
        if self.ops_place().is_none() {
            checks.extend(self.result_checks());
        }
        let (look, how) = match reloads {
            true => (quote!(#rt::look(__retain_ops, __retain_site, &__retain_key, __retain_how)), quote!(__retain_how)),
            false => (quote!(#rt::hit(__retain_ops, __retain_site, &__retain_key)), quote!(#rt::How::Call)),
        };
        // A borrow before an await stays in the future until its scope ends, so the block ends here.
        quote! {
            let __retain_ops = #ops;
            let __retain_call = {
                use #rt::requirements as __retain_asks;
                let __retain_site = #site;
                #checks
                #key
                if let #rt::std::option::Option::Some(__retain_hit) = #look {
                    return __retain_hit;
                }
                #rt::Call::new(__retain_site, &__retain_key, #how) #tags
            };
            #run
        }
    }

    /// Returns the signature without `mut` and attributes of arguments, which a body that is a function of its own has.
    fn outer_signature(&self) -> Signature {
        let mut sig = self.function.sig.clone();
        if matches!(self.place, Place::Item(_)) {
            for input in &mut sig.inputs {
                if let FnArg::Typed(typed) = input {
                    typed.attrs.clear();
                    if let Pat::Ident(ident) = &mut *typed.pat {
                        ident.mutability = None;
                    }
                }
            }
        }
        sig
    }

    /// Returns `.tags(…)` of a call, if the function has tags.
    pub(super) fn tags(&self) -> TokenStream {
        if self.tags.is_empty() {
            return TokenStream::new();
        }
        let tags = self.tag_values();
        quote!(.tags(#tags))
    }

    /// Returns the code that runs the body on a miss. The body of a sync function runs between two calls of the engine,
    /// so that nothing of the engine is on the stack below the user's code.
    fn run(&self, reloads: bool) -> TokenStream {
        let (rt, rules) = (&self.rt, self.rules());
        let (turbofish, names) = (self.turbofish(), &self.names);
        if self.is_async() {
            let load = match &self.place {
                Place::Item(name) => self.load_later(name, &turbofish),
                _ => self.function.body_inline(Some(&self.output)),
            };
            return quote!(#rt::run(__retain_ops, __retain_call, #rules, #load).await.result);
        }
        let (bind, load, verify) = match &self.place {
            Place::Item(name) => {
                let loader = self.loader();
                let load = quote!(<#name>::#loader #turbofish (#(#names),*));
                // Captures nothing, so that it is a plain function.
                let again = quote!(|(#(#names,)*)| #load, (#(#names,)*));
                (TokenStream::new(), load, quote!(verify(__retain_ops, __retain_check, #again)))
            }
            Place::Associated(Some(name)) if self.function.tracks_caller() => {
                let (loader, this) = (method_load_name(name), self.inputs.receiver.as_ref().map(|_| quote!(self,)));
                let load = quote!(Self::#loader #turbofish (#this #(#names),*));
                (TokenStream::new(), load.clone(), quote!(verify_closure(__retain_ops, __retain_check, move || #load)))
            }
            Place::Inside if self.function.tracks_caller() => {
                let (loader, load) = (self.nested_load(), quote!(__retain_load #turbofish (#(#names),*)));
                (loader, load.clone(), quote!(verify_closure(__retain_ops, __retain_check, move || #load)))
            }
            _ => {
                let body = self.function.body_inline(Some(&self.output));
                (
                    // `allow`, not `expect`: whether the body changes what it captures is the user's affair.
                    quote!(#[allow(unused_mut)] let mut __retain_load = #body;),
                    quote!(__retain_load()),
                    quote!(verify_closure(__retain_ops, __retain_check, __retain_load)),
                )
            }
        };
        let result = if reloads { TokenStream::new() } else { quote!(.result) };
        quote! {
            #bind
            match #rt::begin(__retain_ops, __retain_call) {
                #rt::Begun::Served(__retain_served) => __retain_served,
                #rt::Begun::Run(__retain_run) => #rt::finish(__retain_ops, __retain_run, #rules, #load),
                #rt::Begun::Verify(__retain_check) => #rt::#verify,
            } #result
        }
    }

    /// Returns the expression of the closures that decide what is stored, and for how long. A function without them
    /// passes a constant.
    pub(super) fn rules(&self) -> TokenStream {
        match &self.place {
            Place::Item(name) if self.has_rules() && !self.is_generic() => quote!(<#name>::__rules()),
            _ => self.rules_inline(),
        }
    }

    fn has_rules(&self) -> bool {
        let Options { when, err_if, ttl_of, .. } = &self.options;
        [when, err_if, ttl_of].into_iter().any(Option::is_some)
    }

    /// Generates the rules once for call, reload and `#[retain_put]`: a mistake in a closure is one message.
    pub(super) fn rules_function(&self) -> TokenStream {
        if !self.has_rules() {
            return TokenStream::new();
        }
        let (rt, output, rules) = (&self.rt, &self.output, self.rules_inline());
        quote!(fn __rules() -> #rt::CallRules<#output> { #rules })
    }

    /// Returns the closures behind one plain function, so they cannot capture.
    fn rules_inline(&self) -> TokenStream {
        let (rt, output, return_ops) = (&self.rt, &self.output, self.return_ops());
        let Options { when, err_if, ttl_of, .. } = &self.options;
        let when = when.as_ref().map(|rule| {
            let when = quote_spanned!(rule.span()=> #rt::when::<#output>(#rule));
            quote!(#rt::RuleQuestion::When => #rt::RuleAnswer::Is(#when(__retain_result)),)
        });
        let err_if = err_if.as_ref().map(|rule| {
            let is = quote_spanned!(rule.span()=> #rt::error_is);
            quote!(#rt::RuleQuestion::ErrIf => #rt::RuleAnswer::Is(#is(#return_ops, __retain_result, #rule)),)
        });
        let ttl = ttl_of.as_ref().map(|rule| {
            let ttl_of = quote_spanned!(rule.span()=> #rt::ttl_of);
            quote!(#rt::RuleQuestion::Ttl => #ttl_of(#return_ops, __retain_result, #rule),)
        });
        if !self.has_rules() {
            return quote!(#rt::CallRules::<#output>::NONE);
        }
        quote! {
            #rt::CallRules::<#output>::new(|__retain_result: &#output, __retain_question: #rt::RuleQuestion| {
                match __retain_question {
                    #when
                    #err_if
                    #ttl
                    _ => #rt::RuleAnswer::Unset,
                }
            })
        }
    }

    /// Returns calls that only check the return type at compile time, each with the place of its subject.
    pub(super) fn result_checks(&self) -> TokenStream {
        let options = &self.options;
        let (first, last) = output_spans(&self.function);
        let mut checks = TokenStream::new();
        for question in ["result_is_cloned", "result_is_shared"] {
            checks.extend(of_result(question, first, last));
        }
        let err_ttl = options.err_ttl.as_ref().map(|(_, span)| *span);
        let asked = [
            ("result_is_option", options.none_ttl.as_ref().map(|(_, span)| *span)),
            ("result_is_fallible", err_ttl.or_else(|| options.err_if.as_ref().map(|err_if| err_if.span()))),
            ("result_is_compared", options.verify.map(|verify| verify.span)),
        ];
        checks.extend(asked.into_iter().filter_map(|(question, at)| Some(of_result(question, at?, at?))));
        checks.extend(err_ttl.map(|_| of_result("error_is_cloned", first, last)));
        checks
    }

    /// Returns a check for each argument in key and tags, at the place where it is spelled or a template names it. The
    /// type behind references is checked, so that the message names it. Parts of an expression are checked at their own
    /// place.
    fn key_checks(&self) -> TokenStream {
        let in_key = match &self.key {
            Key::Arguments(arguments, _) => arguments.iter().map(|index| (*index, self.names[*index].span())).collect(),
            Key::Template(template, arguments) => arguments.iter().map(|index| (*index, template.span)).collect(),
            Key::Expression(_) => Vec::new(),
        };
        let in_tags = self.tags.iter().flat_map(|tag| tag.values.iter().map(|index| (*index, tag.span)));
        let mut asked = Vec::new();
        let mut checks = TokenStream::new();
        for (index, span) in in_key.into_iter().chain(in_tags) {
            if asked.contains(&index) {
                continue;
            }
            asked.push(index);
            let name = respan(&self.names[index], span);
            let derefs = (0..references(&self.inputs.inputs[index].ty)).map(|_| quote_spanned!(span=> *));
            checks.extend(quote_spanned!(span=> <_ as __retain_asks::Requirements>::is_in_key(&#(#derefs)* #name);));
        }
        checks
    }

    /// Returns the function's future, which does nothing before it is polled.
    pub(super) fn load_later(&self, name: &Ident, turbofish: &TokenStream) -> TokenStream {
        let (loader, names) = (self.loader(), &self.names);
        let load = quote!(<#name>::#loader #turbofish (#(#names),*));
        if self.function.is_boxed() { quote!(async move { #load.await }) } else { load }
    }

    /// Returns `#[track_caller]` if a sync function has it, for the functions that it calls.
    pub(super) fn track_caller(&self) -> TokenStream {
        if self.function.tracks_caller() && !self.is_async() { quote!(#[track_caller]) } else { TokenStream::new() }
    }

    /// Returns the body as a function inside the function: a closure would be its own caller.
    fn nested_load(&self) -> TokenStream {
        let sig = Signature { ident: Ident::new("__retain_load", Span::call_site()), ..self.function.sig.clone() };
        let (lints, body) = (self.function.lints(), &self.function.body);
        quote! {
            #lints
            #[allow(unknown_lints, clippy::items_after_statements)]
            #[track_caller]
            #sig #body
        }
    }
}

/// Returns a check of the result, whose errors are reported from one token of the user's to another.
fn of_result(question: &str, first: Span, last: Span) -> TokenStream {
    let question = Ident::new(question, first);
    let return_ops = Ident::new("__retain_ops", Span::call_site());
    let close = quote_spanned!(last=> >);
    quote_spanned!(first=> <__retain_asks::Of<_ #close as __retain_asks::Requirements>::#question(#return_ops);)
}
