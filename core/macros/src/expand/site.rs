//! Generates the static site of a function, and the expression by which a call finds it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{GenericParam, Ident};

use super::handle::site_name;
use super::{Place, Retained};
use crate::values::Fraction;

impl Retained {
    /// Returns the expression by which the function finds its site.
    pub(super) fn site(&self) -> TokenStream {
        let rt = &self.rt;
        let turbofish = self.turbofish();
        match &self.place {
            Place::Item(name) if self.is_generic() => quote!(<#name>::__site #turbofish ()),
            Place::Item(name) => quote!(<#name as #rt::RetainedFunction>::site()),
            Place::Associated(Some(name)) => {
                let site = site_name(name);
                let fallback = if self.is_generic() { TokenStream::new() } else { self.site_elsewhere(&site) };
                quote!({ #fallback Self::#site #turbofish () })
            }
            Place::Associated(None) | Place::Inside => {
                let definition = self.site_definition();
                quote!({ #definition })
            }
        }
    }

    /// Returns the expression of the site in the `impl` of a trait. There the compiler has refused the function that is
    /// called otherwise, and would report it again.
    fn site_elsewhere(&self, site: &Ident) -> TokenStream {
        let rt = &self.rt;
        quote! {
            #[allow(unknown_lints, clippy::items_after_statements)]
            trait __RetainElsewhere {
                fn #site() -> &'static #rt::Site;
            }
            impl<T: ?#rt::std::marker::Sized> __RetainElsewhere for T {
                fn #site() -> &'static #rt::Site {
                    #rt::std::unreachable!()
                }
            }
        }
    }

    /// Returns the static and, as the last expression, the site of these type parameters.
    pub(super) fn site_definition(&self) -> TokenStream {
        let rt = &self.rt;
        let descriptor = self.descriptor();
        let (consts, which) = self.which();
        quote! {
            #consts
            static __RETAIN_SITE: #rt::Site = #rt::Site::new(#descriptor);
            #rt::submit!(__RETAIN_SITE);
            #which
        }
    }

    /// Returns `::<T, N>`; lifetimes are inferred.
    pub(super) fn turbofish(&self) -> TokenStream {
        let names = self.function.sig.generics.params.iter().filter_map(|parameter| match parameter {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(parameter) => Some(&parameter.ident),
            GenericParam::Const(parameter) => Some(&parameter.ident),
        });
        if self.is_generic() { quote!(::<#(#names),*>) } else { TokenStream::new() }
    }

    /// Returns items that represent const parameters, and the expression that selects the site by type.
    fn which(&self) -> (TokenStream, TokenStream) {
        let rt = &self.rt;
        let name = self.function.sig.ident.unraw().to_string();
        let associated = matches!(self.place, Place::Associated(_));
        if !self.is_generic() {
            let which = if associated {
                quote!(#rt::Site::of::<Self>(&__RETAIN_SITE, || #rt::method_label::<Self>(#name)))
            } else {
                quote!(&__RETAIN_SITE)
            };
            return (TokenStream::new(), which);
        }
        let (mut items, mut types, mut tags) = (TokenStream::new(), Vec::new(), Vec::new());
        for parameter in &self.function.sig.generics.params {
            match parameter {
                GenericParam::Lifetime(_) => {}
                GenericParam::Type(parameter) => {
                    let name = &parameter.ident;
                    types.push(quote!(#rt::std::marker::PhantomData<#name>));
                    tags.push(quote!(<#name as #rt::TypeTag>::tag()));
                }
                GenericParam::Const(parameter) => {
                    let (name, ty) = (&parameter.ident, &parameter.ty);
                    let marker = format_ident!("__RetainConst{}", types.len());
                    // Used only as a type argument: the underscore prevents the lint about a type that is never built.
                    items.extend(quote!(struct #marker<const VALUE: #ty>;));
                    types.push(quote!(#marker<#name>));
                    tags.push(quote!(#rt::std::string::ToString::to_string(&#name)));
                }
            }
        }
        let (this, label) = if associated {
            (quote!(#rt::std::marker::PhantomData<Self>,), quote!(&#rt::method_label::<Self>(#name)))
        } else {
            (TokenStream::new(), quote!(#name))
        };
        let which = quote! {
            #rt::Site::of::<(#this #(#types,)*)>(&__RETAIN_SITE, || #rt::label(#label, &[#(#tags),*]))
        };
        (items, which)
    }

    /// Returns the descriptor of the function, known when the program is compiled.
    fn descriptor(&self) -> TokenStream {
        let (rt, options) = (&self.rt, &self.options);
        let name = self.function.sig.ident.unraw().to_string();
        let mut chain = quote! {
            #rt::Descriptor::new(#rt::std::module_path!(), #name, #rt::std::file!(), #rt::std::line!(), #rt::std::column!())
        };
        chain.extend(options.id.iter().map(|id| quote!(.id(#id))));
        chain.extend(options.version.iter().map(|version| quote!(.version(#version))));
        chain.extend(options.backend.iter().map(|backend| quote!(.backend(#backend))));
        let times = [
            ("ttl", options.ttl.as_ref()),
            ("none_ttl", options.none_ttl.as_ref().map(|(time, _)| time)),
            ("err_ttl", options.err_ttl.as_ref().map(|(time, _)| time)),
            ("max_idle", options.max_idle.as_ref()),
        ];
        for (method, time) in times {
            let (method, time) = (format_ident!("{method}"), time.map(|time| time.ttl(rt)));
            chain.extend(time.map(|time| quote!(.#method(#time))));
        }
        for (method, fraction) in [("jitter", options.jitter), ("verify", options.verify)] {
            let (method, fraction) = (format_ident!("{method}"), fraction.map(Fraction::literal));
            chain.extend(fraction.map(|fraction| quote!(.#method(#fraction))));
        }
        chain.extend(options.serializer.iter().map(|serializer| quote!(.serializer(#serializer))));
        chain.extend(options.max_entries.iter().map(|most| quote!(.max_entries(#most))));
        chain.extend(options.max_load_time.as_ref().map(|time| {
            let time = time.duration(rt);
            quote!(.max_load_time(#time))
        }));
        let bounds = options.max_staleness.iter();
        chain.extend(bounds.map(|millis| quote!(.max_staleness(#rt::std::time::Duration::from_millis(#millis)))));
        chain.extend(self.flags());
        chain.extend(self.identity());
        chain
    }

    fn flags(&self) -> TokenStream {
        let options = &self.options;
        let flags = [
            (options.hash_key, quote!(.hash_key())),
            (options.pii, quote!(.pii())),
            (options.ttl_of.is_some(), quote!(.ttl_of())),
            (!options.single_flight, quote!(.single_flight(false))),
            (!self.tags.is_empty(), quote!(.tagged())),
            (matches!(self.key, crate::key::Key::Template(..)), quote!(.template_key())),
            (self.is_generic(), quote!(.generic())),
            (matches!(self.place, Place::Associated(_)), quote!(.method())),
            (!self.is_async(), quote!(.blocking())),
        ];
        flags.into_iter().filter(|(on, _)| *on).map(|(_, call)| call).collect()
    }

    /// Returns a label for functions inside bodies, and the operations of the values.
    fn identity(&self) -> TokenStream {
        let rt = &self.rt;
        match &self.place {
            Place::Item(name) => {
                let ops = self.ops();
                let values =
                    if self.is_generic() { TokenStream::new() } else { quote!(.values(|| #rt::Known::kinds(#ops))) };
                let own = name.unraw().to_string();
                quote! {
                    .marker(#rt::std::any::type_name::<#name>, #own)
                    #values
                }
            }
            Place::Inside if !self.is_generic() => quote! {
                .inside({ struct __RetainHere; #rt::std::any::type_name::<__RetainHere> })
            },
            Place::Inside | Place::Associated(_) => TokenStream::new(),
        }
    }
}
