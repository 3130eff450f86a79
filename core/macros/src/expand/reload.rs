//! Running the function from owned arguments: `refresh` and `warm`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Ident;

use super::Retained;
use crate::types::Owned;

impl Retained {
    /// Nothing for a function that cannot run from owned arguments.
    pub(super) fn reload(&self, name: &Ident) -> TokenStream {
        let Some(owned) = self.owned() else {
            return TokenStream::new();
        };
        let (rt, facts, rules, names) = (&self.rt, self.facts(), self.rules(), &self.names);
        let (key, tags) = (self.key.bind(rt, names), self.tags());
        let (ty, bind) = self.take_apart(&owned);
        let call = quote! {
            #bind
            let __retain_call = {
                #key
                #rt::Call::new(<#name as #rt::Function>::site(), &__retain_key) #tags .how(__retain_how)
            };
        };
        if self.is_async() {
            quote! {
                impl #rt::Reload for #name {
                    type Args = #ty;
                    fn reload(
                        __retain_args: Self::Args, __retain_how: #rt::How,
                    ) -> #rt::Boxed<#rt::Reloaded<Self::Output>> {
                        ::std::boxed::Box::pin(async move {
                            #call
                            #rt::reload(#facts, __retain_call, #rules, #name::__load(#(#names),*)).await
                        })
                    }
                }
            }
        } else {
            quote! {
                impl #rt::ReloadSync for #name {
                    type Args = #ty;
                    fn reload(__retain_args: Self::Args, __retain_how: #rt::How) -> #rt::Reloaded<Self::Output> {
                        #call
                        #rt::reload_sync(#facts, __retain_call, #rules, move || #name::__load(#(#names),*))
                    }
                }
            }
        }
    }

    /// The type of all arguments, and statements that give each its name and the form in which the function takes it.
    fn take_apart(&self, owned: &[Owned]) -> (TokenStream, TokenStream) {
        let types = owned.iter().map(Owned::ty).collect::<Vec<_>>();
        let slots = (0..owned.len()).map(|index| format_ident!("__retain_owned_{index}")).collect::<Vec<_>>();
        let forms = owned.iter().zip(&slots).zip(&self.names).map(|((owned, slot), name)| match owned {
            Owned::Same(_) => quote!(let #name = #slot;),
            Owned::Deref(_) => quote!(let #name = &*#slot;),
            Owned::Borrow(_) => quote!(let #name = &#slot;),
        });
        match (&types[..], &slots[..]) {
            ([ty], [slot]) => (quote!(#ty), quote!(let #slot = __retain_args; #(#forms)*)),
            _ => (quote!((#(#types),*)), quote!(let (#(#slots),*) = __retain_args; #(#forms)*)),
        }
    }
}
