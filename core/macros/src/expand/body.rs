//! The function that callers see: a look into the cache, then the engine with the body as its loader.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, Pat, Signature};

use super::{Place, Retained};
use crate::signature::output_span;

impl Retained {
    pub(super) fn outer(&self) -> TokenStream {
        let (rt, facts, site) = (&self.rt, self.facts(), self.site());
        let key = self.key.bind(rt, &self.names);
        let (tags, checks, run) = (self.tags(), self.checks(), self.run());
        // What was borrowed before an await stays in the future until its scope ends, so the block ends here.
        let statements = quote! {
            let (__retain_facts, __retain_call) = {
                let __retain_facts = #facts;
                let __retain_site = #site;
                #key
                if let ::core::option::Option::Some(__retain_hit) =
                    #rt::hit(&__retain_facts, __retain_site, &__retain_key)
                {
                    return __retain_hit;
                }
                #checks
                (__retain_facts, #rt::Call::new(__retain_site, &__retain_key) #tags)
            };
            #run
        };
        self.function.with_body(&self.outer_signature(), statements)
    }

    /// Where the body is a function of its own, `mut` and the attributes of arguments are that one's.
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

    /// `.tags(…)` of a call, if the function has tags.
    pub(super) fn tags(&self) -> TokenStream {
        if self.tags.is_empty() {
            return TokenStream::new();
        }
        let tags = self.tag_values();
        quote!(.tags(#tags))
    }

    fn run(&self) -> TokenStream {
        let (rt, rules) = (&self.rt, self.rules());
        let load = match &self.place {
            Place::Item(name) => {
                let (turbofish, names) = (self.turbofish(), &self.names);
                let load = quote!(#name::__load #turbofish (#(#names),*));
                if self.is_async() { load } else { quote!(move || #load) }
            }
            _ => self.function.body_inline(Some(&self.output)),
        };
        if self.is_async() {
            quote!(::std::boxed::Box::pin(#rt::run(__retain_facts, __retain_call, #rules, #load)).await)
        } else {
            quote!(#rt::run_sync(__retain_facts, __retain_call, #rules, #load))
        }
    }

    /// Which results are stored. The closures become plain functions, so they cannot capture.
    pub(super) fn rules(&self) -> TokenStream {
        let (rt, output, facts) = (&self.rt, &self.output, self.facts());
        let (when, err_if) = (&self.options.when, &self.options.err_if);
        if when.is_none() && err_if.is_none() {
            return quote!(#rt::Rules::<#output>::NONE);
        }
        let some = |rule| quote!(::core::option::Option::Some(#rule));
        let none = || quote!(::core::option::Option::None);
        let when =
            when.as_ref().map_or_else(none, |when| some(quote_spanned!(when.span()=> #rt::when::<#output>(#when))));
        let err_if = err_if.as_ref().map_or_else(none, |err_if| {
            some(quote_spanned! {err_if.span()=>
                |__retain_result: &#output| #rt::error_is(&#facts, __retain_result, #err_if)
            })
        });
        quote!(#rt::Rules::<#output> { when: #when, err_if: #err_if })
    }

    /// Calls that do nothing but ask the compiler, each with the place of what it is about.
    fn checks(&self) -> TokenStream {
        let (rt, options, output) = (&self.rt, &self.options, &self.output);
        let mut checks = quote_spanned!(output_span(&self.function.sig)=> #rt::check::retained(&__retain_facts););
        checks.extend(
            options.none_ttl.as_ref().map(|(_, span)| quote_spanned!(*span=> #rt::check::option(&__retain_facts);)),
        );
        checks.extend(options.err_ttl.as_ref().map(|(_, span)| {
            quote_spanned! {*span=>
                #rt::check::result(&__retain_facts);
                #rt::check::shareable::<#output>();
            }
        }));
        checks.extend(
            options.err_if.as_ref().map(|err_if| quote_spanned!(err_if.span()=> #rt::check::result(&__retain_facts);)),
        );
        checks.extend(
            options.verify.map(|verify| quote_spanned!(verify.span=> #rt::check::comparable(&__retain_facts);)),
        );
        checks
    }
}
