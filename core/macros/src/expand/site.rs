//! The static that stands for a function, and how a call finds it.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::GenericParam;
use syn::ext::IdentExt as _;

use super::{Place, Retained};
use crate::values::Fraction;

impl Retained {
    /// The expression by which the function finds its site.
    pub(super) fn site(&self) -> TokenStream {
        let rt = &self.rt;
        let turbofish = self.turbofish();
        match &self.place {
            Place::Item(name) if self.is_generic() => quote!(#name::__site #turbofish ()),
            Place::Item(name) => quote!(<#name as #rt::Function>::site()),
            Place::Associated(Some(name)) => {
                let site = format_ident!("__{}_site", name.unraw());
                quote!(Self::#site #turbofish ())
            }
            Place::Associated(None) | Place::Inside => {
                let definition = self.site_definition();
                quote!({ #definition })
            }
        }
    }

    /// The static and, as the last expression, the site of these type parameters.
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

    /// `::<T, N>`; lifetimes are inferred.
    pub(super) fn turbofish(&self) -> TokenStream {
        let names = self.function.sig.generics.params.iter().filter_map(|parameter| match parameter {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(parameter) => Some(&parameter.ident),
            GenericParam::Const(parameter) => Some(&parameter.ident),
        });
        if self.is_generic() { quote!(::<#(#names),*>) } else { TokenStream::new() }
    }

    /// Items that stand for const parameters, and the site told apart by type.
    fn which(&self) -> (TokenStream, TokenStream) {
        let rt = &self.rt;
        let name = self.function.sig.ident.unraw().to_string();
        let associated = matches!(self.place, Place::Associated(_));
        if !self.is_generic() {
            let which = if associated {
                quote!(__RETAIN_SITE.of::<Self>(|| #rt::method_label::<Self>(#name)))
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
                    types.push(quote!(::core::marker::PhantomData<#name>));
                    tags.push(quote!(<#name as #rt::TypeTag>::tag()));
                }
                GenericParam::Const(parameter) => {
                    let (name, ty) = (&parameter.ident, &parameter.ty);
                    let marker = format_ident!("__RetainConst{}", types.len());
                    // Only ever a type argument: the underscore says that nothing has to make one.
                    items.extend(quote!(struct #marker<const VALUE: #ty>;));
                    types.push(quote!(#marker<#name>));
                    tags.push(quote!(::std::string::ToString::to_string(&#name)));
                }
            }
        }
        let (this, label) = if associated {
            (quote!(::core::marker::PhantomData<Self>,), quote!(&#rt::method_label::<Self>(#name)))
        } else {
            (TokenStream::new(), quote!(#name))
        };
        let which = quote! {
            __RETAIN_SITE.of::<(#this #(#types,)*)>(|| #rt::label(#label, &[#(#tags),*]))
        };
        (items, which)
    }

    /// What is known of the function when the program is compiled.
    fn descriptor(&self) -> TokenStream {
        let (rt, options) = (&self.rt, &self.options);
        let name = self.function.sig.ident.unraw().to_string();
        let mut chain = quote! {
            #rt::Descriptor::new(::core::module_path!(), #name, ::core::file!(), ::core::line!(), ::core::column!())
        };
        chain.extend(options.id.iter().map(|id| quote!(.id(#id))));
        chain.extend(options.version.iter().map(|version| quote!(.version(#version))));
        chain.extend(options.backend.iter().map(|backend| quote!(.backend(#backend))));
        let times = [
            ("ttl", options.ttl.as_ref()),
            ("none_ttl", options.none_ttl.as_ref().map(|(time, _)| time)),
            ("err_ttl", options.err_ttl.as_ref().map(|(time, _)| time)),
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
        chain.extend(options.max_load_time.as_ref().map(|time| {
            let time = time.duration(rt);
            quote!(.max_load_time(#time))
        }));
        chain.extend(self.flags());
        chain.extend(self.identity());
        chain
    }

    fn flags(&self) -> TokenStream {
        let options = &self.options;
        let flags = [
            (options.hash_key, quote!(.hash_key())),
            (options.pii, quote!(.pii())),
            (!options.single_flight, quote!(.no_single_flight())),
            (!self.tags.is_empty(), quote!(.tagged())),
            (matches!(self.key, crate::key::Key::Template(..)), quote!(.template_key())),
            (self.is_generic(), quote!(.generic())),
            (matches!(self.place, Place::Associated(_)), quote!(.method())),
            (!self.is_async(), quote!(.blocking())),
        ];
        flags.into_iter().filter(|(on, _)| *on).map(|(_, call)| call).collect()
    }

    /// A name for functions inside bodies, and what may be done with the values.
    fn identity(&self) -> TokenStream {
        match &self.place {
            Place::Item(name) => {
                let facts = self.facts();
                let values = if self.is_generic() { TokenStream::new() } else { quote!(.values(|| #facts.kinds())) };
                let own = format!("::{}", name.unraw());
                let (start, length) = (format!("{own}<"), own.len());
                quote! {
                    .marker(|| {
                        let name = ::core::any::type_name::<#name>();
                        name.find(#start).map_or(name, |at| &name[..at + #length])
                    })
                    #values
                }
            }
            Place::Inside if !self.is_generic() => quote! {
                .inside({ struct __RetainHere; ::core::any::type_name::<__RetainHere> })
            },
            Place::Inside | Place::Associated(_) => TokenStream::new(),
        }
    }
}
