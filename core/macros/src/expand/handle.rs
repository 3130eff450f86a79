//! Generates the items beside a function: the type of its name with its handle, or the functions of a method.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Ident, Signature, Visibility};

use super::{Place, Retained};
use crate::key::Key;
use crate::types::{Owned, within};

/// Returns the span for a name that the attribute derives from the user's. The compiler does not report it as unused,
/// and the item it names counts as used only if the user's code uses it.
pub(super) fn generated(name: &Ident) -> Span {
    Span::call_site().located_at(name.span())
}

/// Returns the name of the function by which a method and its handle find their site. The compiler shows it in the
/// `impl` of a trait, where the function cannot be.
pub(super) fn site_name(handle: &Ident) -> Ident {
    format_ident!("__{}_needs_handle_off_in_the_impl_of_a_trait", handle.unraw(), span = generated(handle))
}

/// Returns the name of the function that holds the body of a method.
pub(super) fn method_load_name(handle: &Ident) -> Ident {
    format_ident!("__{}_load", handle.unraw(), span = generated(handle))
}

/// Returns an alias of the type beside a free function, by which that function finds it. The compiler shows it in an
/// `impl`, where the type cannot be.
pub(super) fn misplaced(name: &Ident) -> Ident {
    format_ident!("__{}_in_an_impl_needs_assoc", name.unraw(), span = name.span())
}

/// Allows lints that generated items would raise in a user's crate.
fn allowances() -> TokenStream {
    quote! {
        #[allow(
            unknown_lints, deprecated, missing_copy_implementations, missing_debug_implementations, non_camel_case_types,
            non_snake_case, private_bounds, private_interfaces, single_use_lifetimes, unreachable_pub, unused_lifetimes, unused_variables, clippy::all,
            clippy::pedantic
        )]
    }
}

impl Retained {
    /// Returns the type beside a free function.
    pub(super) fn handle_type(&self, name: &Ident) -> TokenStream {
        let (vis, cfgs, allow) = (&self.function.vis, self.function.cfgs(), allowances());
        let (rt, full_rt) = (&self.rt, &self.full_rt);
        let doc = format!("The cache handle of [`{}()`].", self.function.sig.ident);
        let cache = self.handle_function(&format_ident!("cache"), &self.site());
        let (definition, load) = (self.handle_definition(name), self.load(name));
        let (functions, implementations) = if self.is_generic() {
            let (generics, _, clause) = self.generics();
            let site = self.site_definition();
            (quote!(fn __site #generics () -> &'static #rt::Site #clause { #site }), TokenStream::new())
        } else {
            let functions = [self.ops_function(), self.rules_function(), self.keys(name), self.call()];
            let implementations = [self.function_impl(name), self.put_target(name), self.reload(name)];
            (functions.into_iter().collect(), implementations.into_iter().collect())
        };
        let (root, misplaced) = (&self.options.root, misplaced(name));
        // One constant around what needs the same lints: each list of them costs the compiler some 0.3 million instructions.
        quote! {
            #cfgs
            #[#root::__beside {
                #cfgs #[allow(non_camel_case_types)] type #misplaced = #name;
                #load
                #cfgs #allow
                const _: () = {
                    use #full_rt as #rt;
                    impl #name { #cache #functions }
                    #implementations
                };
            }]
            #allow #[doc = #doc] #vis enum #definition
        }
    }

    /// Returns the definition of the empty type.
    ///
    /// Rust refuses a private type among the associated types of a public one (E0446), though it allows it in a public
    /// function. An implementation is as visible as the least visible type in its header, so the types that the
    /// implementations below name are in the header, as the default of a hidden parameter.
    fn handle_definition(&self, name: &Ident) -> TokenStream {
        if self.is_generic() || matches!(self.function.vis, Visibility::Inherited) {
            return quote!(#name {});
        }
        let (rt, output) = (&self.full_rt, &self.output);
        let key = within(&self.key.ty(&self.inputs, rt), "'static");
        let owned = self.owned(rt).unwrap_or_default();
        let owned = owned.iter().map(Owned::ty);
        quote! {
            #name<Signature = fn(&'static #key, (#(#owned,)*)) -> #output> {
                #[doc(hidden)]
                __Never(#rt::std::convert::Infallible, #rt::std::marker::PhantomData<Signature>),
            }
        }
    }

    /// Returns the functions beside a method.
    pub(super) fn handle_functions(&self, name: &Ident) -> TokenStream {
        let (rt, cfgs, allow) = (&self.rt, self.function.cfgs(), allowances());
        let (generics, _, clause) = self.generics();
        let cache = format_ident!("{}_cache", name.unraw(), span = generated(name));
        let cache = self.handle_function(&cache, &self.site());
        let (site, definition) = (site_name(name), self.site_definition());
        let load = self.method_load(name);
        // Allowed here alone: the lint treats an `impl` as one, and would not report the user's functions in it.
        let allow = quote!(#allow #[allow(dead_code)]);
        quote! {
            #cfgs #allow #[doc(hidden)]
            fn #site #generics () -> &'static #rt::Site #clause { #definition }
            #cfgs #allow #cache
            #load
        }
    }

    /// Returns the body of a method with `#[track_caller]` as a function: a closure would be its own caller.
    fn method_load(&self, name: &Ident) -> TokenStream {
        if self.track_caller().is_empty() {
            return TokenStream::new();
        }
        let sig = Signature { ident: method_load_name(name), ..self.function.sig.clone() };
        let (cfgs, lints, body) = (self.function.cfgs(), self.function.lints(), &self.function.body);
        // The lint would report this function where the user's method is not called.
        quote!(#cfgs #lints #[allow(dead_code)] #[doc(hidden)] #[track_caller] #sig #body)
    }

    /// Returns the function that makes the handle.
    fn handle_function(&self, function: &Ident, site: &TokenStream) -> TokenStream {
        let vis = &self.function.vis;
        let (generics, _, clause) = self.generics();
        let (ty, new) = self.handle(site);
        let doc = format!("The handle of the cache of `{}`.", self.function.sig.ident);
        let used = self.used_by_handle();
        quote! {
            #[doc = #doc]
            #[must_use]
            #vis fn #function #generics () -> #ty #clause {
                #used
                #new
            }
        }
    }

    /// Returns a use of the function: code that uses its handle uses the function.
    fn used_by_handle(&self) -> TokenStream {
        let (name, turbofish) = (&self.function.sig.ident, self.turbofish());
        match &self.place {
            Place::Associated(_) => quote!(let _ = Self::#name #turbofish;),
            _ => quote!(let _ = #name #turbofish;),
        }
    }

    /// Returns the handle's type, and the expression that makes one.
    fn handle(&self, site: &TokenStream) -> (TokenStream, TokenStream) {
        let (rt, output, ops) = (&self.rt, &self.output, self.ops());
        let sync = if self.is_async() { "" } else { "Sync" };
        let named = |kind: &str| format_ident!("{sync}{kind}");
        let typed = match &self.place {
            Place::Item(name) if !self.is_generic() => Some(name),
            _ => None,
        };
        let of_function = match (&self.key, typed) {
            (Key::Arguments(..) | Key::Template(..), Some(name)) => Some((named("Handle"), name)),
            (Key::Expression(_), Some(name)) if self.owned(rt).is_some() => Some((named("ReloadHandle"), name)),
            _ => None,
        };
        if let Some((handle, name)) = of_function {
            let ty = quote!(#rt::#handle::<#name, #output>);
            return (ty.clone(), quote!(#ty::new(#ops)));
        }
        let handle = named("AnyHandle");
        let ty = quote!(#rt::#handle::<#output>);
        let new = match &self.key {
            Key::Template(template, arguments) => {
                let (order, template) = (template.order(arguments), template.around(rt, &quote!(())));
                quote!(#ty::template(#site, #ops, #template) #order)
            }
            Key::Arguments(..) | Key::Expression(_) => quote!(#ty::new(#site, #ops)),
        };
        (ty, new)
    }

    /// Returns the function with the return type's operations, which call, reload, handle and descriptor share.
    fn ops_function(&self) -> TokenStream {
        let (rt, output, return_ops, checks) = (&self.rt, &self.output, self.return_ops(), self.result_checks());
        quote! {
            fn __ops() -> &'static (impl #rt::Ops<Output = #output> + #rt::Known + #rt::std::marker::Sync) {
                use #rt::requirements as __retain_asks;
                let __retain_ops = #return_ops;
                #checks
                __retain_ops
            }
        }
    }

    /// Returns the implementations by which other functions make keys and tags of this one.
    fn keys(&self, name: &Ident) -> TokenStream {
        let (rt, vis) = (&self.rt, &self.function.vis);
        let tags = if self.tags_follow_from_key() { self.tag_values() } else { quote!(#rt::std::vec::Vec::new()) };
        let given = self.key.arguments().is_some();
        let (parameter, ty, clause, bind) = if given {
            let bind = self.key.bind(rt, &self.names);
            (quote!(), quote!(<#name as #rt::RetainedFunction>::Key<'_>), quote!(), bind)
        } else {
            let clause = quote!(where for<'k> #rt::Args<&'k K>: #rt::KeySource);
            let bind = quote!(let __retain_key = #rt::Args(__retain_given););
            (quote!(<K: ?#rt::std::marker::Sized>), quote!(K), clause, bind)
        };
        let fields = self.fields();
        quote! {
            #[doc(hidden)]
            #vis fn __key #parameter (__retain_given: &#ty) -> #rt::Result<#rt::KeyBuf> #clause {
                #fields
                #bind
                #rt::KeyBuf::new(&__retain_key)
            }
            #[doc(hidden)]
            #vis fn __put #parameter (
                __retain_given: &#ty,
            ) -> (#rt::Result<#rt::KeyBuf>, #rt::std::vec::Vec<#rt::std::string::String>) #clause {
                #fields
                (Self::__key(__retain_given), #tags)
            }
        }
    }

    /// Returns statements that take `__retain_given`, a key by reference, apart into variables of the arguments' names.
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
        let (rt, output, key) = (&self.rt, &self.output, self.key.ty(&self.inputs, &self.rt));
        let definition = self.site_definition();
        quote! {
            impl #rt::RetainedFunction for #name {
                type Key<'a> = #key;
                type Output = #output;
                #[inline]
                fn site() -> &'static #rt::Site { #definition }
                fn key(__retain_given: &Self::Key<'_>) -> #rt::Result<#rt::KeyBuf> {
                    <#name>::__key(__retain_given)
                }
            }
        }
    }

    fn put_target(&self, name: &Ident) -> TokenStream {
        if !self.tags_follow_from_key() {
            return TokenStream::new();
        }
        let rt = &self.rt;
        let ttl_of = self.options.ttl_of.as_ref().map(|_| {
            let (return_ops, rules) = (self.return_ops(), self.rules());
            quote! {
                fn ttl_of(
                    __retain_value: &dyn #rt::std::any::Any,
                ) -> #rt::std::option::Option<#rt::Result<#rt::Ttl>> {
                    #rt::ttl_of_any(#return_ops, #rules, __retain_value)
                }
            }
        });
        quote!(impl #rt::PutTarget for #name { #ttl_of })
    }

    /// Returns the body as a function of its own, which a refresh can run too.
    fn load(&self, name: &Ident) -> TokenStream {
        let sig = Signature { ident: self.loader(), ..self.function.sig.clone() };
        let track_caller = self.track_caller();
        let (cfgs, lints, body, used) = (self.function.cfgs(), self.function.lints(), &self.function.body, self.used());
        let statements = body.stream();
        quote! {
            #cfgs
            impl #name {
                #lints
                #track_caller
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
