//! What stands beside a function: the type of its name with its handle, or the functions of a method.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Ident, Signature, Visibility};

use super::{Place, Retained};
use crate::key::Key;
use crate::types::{Owned, within};

/// Lints that generated items would raise in a user's crate.
fn allowances() -> TokenStream {
    quote! {
        #[allow(
            unknown_lints, dead_code, missing_copy_implementations, missing_debug_implementations, non_camel_case_types,
            non_snake_case, private_bounds, private_interfaces, single_use_lifetimes, unreachable_pub, unused_lifetimes, unused_variables, clippy::all,
            clippy::pedantic
        )]
    }
}

impl Retained {
    /// The type beside a free function.
    pub(super) fn handle_type(&self, name: &Ident) -> TokenStream {
        let (vis, cfgs, allow) = (&self.function.vis, self.function.cfgs(), allowances());
        let doc = format!("The cache handle of [`{}()`].", self.function.sig.ident);
        let cache = self.handle_function(&format_ident!("cache"), &self.site());
        let (definition, load) = (self.handle_definition(name), self.load(name));
        let rest = if self.is_generic() {
            let (generics, _, clause) = self.generics();
            let (rt, site) = (&self.rt, self.site_definition());
            quote! {
                #cfgs #allow
                impl #name {
                    fn __site #generics () -> &'static #rt::Site #clause { #site }
                }
            }
        } else {
            let parts = [self.keys(name), self.function_impl(name), self.put_target(name), self.reload(name)];
            parts.into_iter().filter(|part| !part.is_empty()).map(|part| quote!(#cfgs #allow #part)).collect()
        };
        quote! {
            #cfgs #allow #[doc = #doc] #vis enum #definition
            #cfgs #allow impl #name { #cache }
            #load
            #rest
        }
    }

    /// An empty type.
    ///
    /// Rust refuses a private type among the associated types of a public one (E0446), though it allows it in a public
    /// function. An implementation is as visible as the least visible type in its header, so what the implementations
    /// below name stands in the header, as the default of a parameter that nobody else sees.
    fn handle_definition(&self, name: &Ident) -> TokenStream {
        if self.is_generic() || matches!(self.function.vis, Visibility::Inherited) {
            return quote!(#name {});
        }
        let (output, key) = (&self.output, within(&self.key.ty(&self.inputs), "'static"));
        let owned = self.owned().unwrap_or_default();
        let owned = owned.iter().map(Owned::ty);
        quote! {
            #name<Signature = fn(&'static #key, (#(#owned,)*)) -> #output> {
                #[doc(hidden)]
                __Never(::core::convert::Infallible, ::core::marker::PhantomData<Signature>),
            }
        }
    }

    /// The functions beside a method.
    pub(super) fn handle_functions(&self, name: &Ident) -> TokenStream {
        let (rt, cfgs, allow) = (&self.rt, self.function.cfgs(), allowances());
        let (generics, _, clause) = self.generics();
        let cache = self.handle_function(&format_ident!("{}_cache", name.unraw()), &self.site());
        let (site, definition) = (format_ident!("__{}_site", name.unraw()), self.site_definition());
        quote! {
            #cfgs #allow #cache
            #cfgs #allow #[doc(hidden)]
            fn #site #generics () -> &'static #rt::Site #clause { #definition }
        }
    }

    /// The function that gives the handle.
    fn handle_function(&self, function: &Ident, site: &TokenStream) -> TokenStream {
        let vis = &self.function.vis;
        let (generics, _, clause) = self.generics();
        let (ty, new) = self.handle(site);
        let doc = format!("The handle of the cache of `{}`.", self.function.sig.ident);
        quote! {
            #[doc = #doc]
            #[must_use]
            #vis fn #function #generics () -> #ty #clause { #new }
        }
    }

    /// The handle's type, and the expression that makes one.
    fn handle(&self, site: &TokenStream) -> (TokenStream, TokenStream) {
        let (rt, output, facts) = (&self.rt, &self.output, self.facts());
        let sync = if self.is_async() { "" } else { "Sync" };
        let named = |kind: &str| format_ident!("{sync}{kind}");
        let typed = match &self.place {
            Place::Item(name) if !self.is_generic() => Some(name),
            _ => None,
        };
        let of_function = match (&self.key, typed) {
            (Key::Arguments(_) | Key::Template(..), Some(name)) => Some((named("Handle"), name)),
            (Key::Expression(_), Some(name)) if self.owned().is_some() => Some((named("ReloadHandle"), name)),
            _ => None,
        };
        if let Some((handle, name)) = of_function {
            let ty = quote!(#rt::#handle::<#name, #output>);
            return (ty.clone(), quote!(#ty::new(&#facts)));
        }
        let handle = named("AnyHandle");
        let ty = quote!(#rt::#handle::<#output>);
        let new = match &self.key {
            Key::Template(template, arguments) => {
                let (literals, between) = (&template.literals, &template.between);
                let order = template.order(arguments);
                quote!(#ty::template(#site, &#facts, &[#(#literals),*], #between) #order)
            }
            Key::Arguments(_) | Key::Expression(_) => quote!(#ty::new(#site, &#facts)),
        };
        (ty, new)
    }

    /// How others write the function's keys, and a key with the tags that follow from it.
    fn keys(&self, name: &Ident) -> TokenStream {
        let (rt, vis) = (&self.rt, &self.function.vis);
        let tags = if self.tags_follow_from_key() { self.tag_values() } else { quote!(::std::vec::Vec::new()) };
        let given = self.key.arguments().is_some();
        let (parameter, ty, clause, bind) = if given {
            let bind = self.key.bind(rt, &self.names);
            (quote!(), quote!(<#name as #rt::Function>::Key<'_>), quote!(), bind)
        } else {
            let clause = quote!(where for<'k> #rt::Args<&'k K>: #rt::KeySource);
            let bind = quote!(let __retain_key = #rt::Args(__retain_given););
            (quote!(<K: ?::core::marker::Sized>), quote!(K), clause, bind)
        };
        let fields = self.fields();
        quote! {
            impl #name {
                #[doc(hidden)]
                #vis fn __key #parameter (__retain_given: &#ty) -> #rt::Result<#rt::KeyBuf> #clause {
                    #fields
                    #bind
                    #rt::KeyBuf::new(&__retain_key)
                }
                #[doc(hidden)]
                #vis fn __put #parameter (
                    __retain_given: &#ty,
                ) -> (#rt::Result<#rt::KeyBuf>, ::std::vec::Vec<::std::string::String>) #clause {
                    #fields
                    (Self::__key(__retain_given), #tags)
                }
            }
        }
    }

    /// Takes `__retain_given`, a key by reference, apart into variables of the arguments' names.
    fn fields(&self) -> TokenStream {
        let arguments = self.key.arguments().unwrap_or_default();
        let names = arguments.iter().map(|index| &self.names[*index]).collect::<Vec<_>>();
        match &names[..] {
            [] => TokenStream::new(),
            [one] => quote!(let #one = __retain_given;),
            several => quote!(let (#(#several),*) = __retain_given;),
        }
    }

    fn function_impl(&self, name: &Ident) -> TokenStream {
        let (rt, output, key) = (&self.rt, &self.output, self.key.ty(&self.inputs));
        let definition = self.site_definition();
        quote! {
            impl #rt::Function for #name {
                type Key<'a> = #key;
                type Output = #output;
                #[inline]
                fn site() -> &'static #rt::Site { #definition }
                fn key(__retain_given: &Self::Key<'_>) -> #rt::Result<#rt::KeyBuf> {
                    #name::__key(__retain_given)
                }
            }
        }
    }

    fn put_target(&self, name: &Ident) -> TokenStream {
        if !self.tags_follow_from_key() {
            return TokenStream::new();
        }
        let (rt, fields, tags) = (&self.rt, self.fields(), self.tag_values());
        quote! {
            impl #rt::PutTarget for #name {
                fn tags(__retain_given: &Self::Key<'_>) -> ::std::vec::Vec<::std::string::String> {
                    #fields
                    #tags
                }
            }
        }
    }

    /// The body, under its own name so that refreshing can run it too.
    fn load(&self, name: &Ident) -> TokenStream {
        let sig =
            Signature { ident: Ident::new("__load", self.function.sig.ident.span()), ..self.function.sig.clone() };
        let (cfgs, lints, body, used) = (self.function.cfgs(), self.function.lints(), &self.function.body, self.used());
        let statements = body.stream();
        quote! {
            #cfgs
            impl #name {
                #lints
                #[doc(hidden)]
                #[allow(
                    unknown_lints, clippy::elidable_lifetime_names, clippy::extra_unused_lifetimes,
                    clippy::needless_lifetimes, clippy::too_many_arguments, clippy::type_complexity
                )]
                #sig {
                    #(let _ = &#used;)*
                    #statements
                }
            }
        }
    }

    fn generics(&self) -> (TokenStream, TokenStream, TokenStream) {
        let (parameters, names, clause) = self.function.sig.generics.split_for_impl();
        (parameters.to_token_stream(), names.to_token_stream(), clause.to_token_stream())
    }
}
