//! Generates `refresh` and `warm`, which run the function from owned arguments.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;

use super::Retained;
use crate::types::Owned;

impl Retained {
    /// Returns the implementation of `Reload`; nothing for a function that cannot run from owned arguments.
    pub(super) fn reload(&self, name: &Ident) -> TokenStream {
        let Some(owned) = self.owned(&self.rt) else {
            return TokenStream::new();
        };
        let (rt, names) = (&self.rt, &self.names);
        let (ty, bind) = self.take_apart(&owned);
        if !self.is_async() {
            return quote! {
                impl #rt::ReloadSync for #name {
                    type Args = #ty;
                    fn reload(__retain_args: Self::Args, __retain_how: #rt::How) -> #rt::Reloaded<Self::Output> {
                        #bind
                        <#name>::__call(#(#names,)* __retain_how)
                    }
                }
            };
        }
        let (ops, rules, key, tags) = (self.ops(), self.rules(), self.key.bind(rt, names), self.tags());
        let load = self.load_later(name, &TokenStream::new());
        let load = quote_spanned!(self.function.sig.ident.span()=> <_ as __retain_asks::Requirements>::future_is_send_unless_handle_is_off(#load));
        quote! {
            impl #rt::Reload for #name {
                type Args = #ty;
                fn reload(
                    __retain_args: Self::Args, __retain_how: #rt::How,
                ) -> #rt::Boxed<#rt::Reloaded<Self::Output>> {
                    use #rt::requirements as __retain_asks;
                    #rt::std::boxed::Box::pin(async move {
                        #bind
                        let __retain_call = {
                            #key
                            #rt::Call::new(<#name as #rt::RetainedFunction>::site(), &__retain_key, __retain_how) #tags
                        };
                        #rt::run(#ops, __retain_call, #rules, #load).await
                    })
                }
            }
        }
    }

    /// Returns the type of all arguments, and statements that bind each to its name in the form that the function
    /// takes.
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
