//! The attributes of retainit; use them through the facade crate `retainit`.
#![doc = ""]

mod arguments;
mod attr;
mod errors;
mod expand;
mod function;
mod invalidate;
mod key;
mod put;
mod signature;
mod template;
mod type_tag;
mod types;
mod writer;

use proc_macro::TokenStream;

/// Keeps what a function returns.
#[proc_macro_attribute]
pub fn retain(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::retain(arguments.into(), item.into()).into()
}

/// Stores what a function returns as if another had returned it.
#[proc_macro_attribute]
pub fn retain_put(arguments: TokenStream, item: TokenStream) -> TokenStream {
    put::retain_put(arguments.into(), item.into()).into()
}

/// Removes what a function has made stale, after it succeeded.
#[proc_macro_attribute]
pub fn invalidate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    invalidate::invalidate(arguments.into(), item.into()).into()
}

/// A name of a type.
#[proc_macro_derive(TypeTag, attributes(type_tag))]
pub fn type_tag(item: TokenStream) -> TokenStream {
    type_tag::type_tag(item.into()).into()
}
