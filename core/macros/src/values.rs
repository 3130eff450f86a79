//! The values of arguments that are more than a string, a number or a name.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Expr, ExprLit, Ident, Lit, LitStr};

use crate::arguments::{Argument, Value, as_text};

/// A length of time as it is written.
pub(crate) enum Time {
    Text(LitStr),
    Seconds(u64, Span),
}

/// A number from 0 to 1, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Fraction {
    pub(crate) value: f64,
    pub(crate) span: Span,
}

/// Where the key comes from.
pub(crate) enum KeyArgument {
    Template(LitStr),
    Expression(Expr),
}

/// What `handle` asks for.
pub(crate) enum Handle {
    /// Named as the function.
    Own,
    Named(Ident),
    Off,
}

pub(crate) const TTL: &str = "a time such as \"30s\", \"5m\", \"2h\", \"never\", \"off\", or whole seconds";
pub(crate) const SERIALIZER: &str = "the name of a serializer, such as \"json\"";
const LENGTH: &str = "a length of time such as \"500ms\", \"60s\", or whole seconds, longer than zero";

pub(crate) fn time(argument: &Argument, expected: &str) -> syn::Result<Time> {
    if argument.is_negative() {
        let message = format!("`{}` lies in the past: it takes {expected}", argument.name);
        return Err(syn::Error::new_spanned(argument.value_tokens(), message));
    }
    match &argument.value {
        Value::Is(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Ok(Time::Text(text.clone())),
        _ => argument.number::<u64>(expected).map(|(seconds, span)| Time::Seconds(seconds, span)),
    }
}

pub(crate) fn load_time(argument: &Argument) -> syn::Result<Time> {
    match time(argument, LENGTH)? {
        Time::Seconds(0, span) => Err(syn::Error::new(span, format!("`max_load_time` takes {LENGTH}"))),
        time => Ok(time),
    }
}

pub(crate) fn fraction(argument: &Argument, example: &str) -> syn::Result<Fraction> {
    let expected = format!("a fraction from 0 to 1, such as {example}");
    let (value, span) = argument.fraction(&expected)?;
    if (0.0..=1.0).contains(&value) {
        Ok(Fraction { value, span })
    } else {
        Err(syn::Error::new(span, format!("`{}` takes {expected}", argument.name)))
    }
}

/// The serializer in a text such as `"json"` or `"json+zstd"`.
pub(crate) fn codec(argument: &Argument) -> syn::Result<String> {
    let text = name(argument, SERIALIZER)?;
    let value = text.value();
    let parts = value.split('+').map(str::trim).collect::<Vec<_>>();
    let message = match &parts[..] {
        parts if parts.contains(&"") => format!("`codec` takes {SERIALIZER}"),
        [serializer, other, ..] => format!(
            "`{other}`, a compression or an encryption, is not supported yet: name the serializer alone, as in \
             `codec = \"{serializer}\"`"
        ),
        _ => return Ok(value.trim().to_owned()),
    };
    Err(syn::Error::new(text.span(), message))
}

pub(crate) fn name(argument: &Argument, expected: &str) -> syn::Result<LitStr> {
    let text = argument.text(expected)?;
    if text.value().trim().is_empty() {
        let message = format!("`{}` is empty: it takes {expected}", argument.name);
        return Err(syn::Error::new(text.span(), message));
    }
    Ok(text)
}

pub(crate) fn identity(argument: &Argument) -> syn::Result<LitStr> {
    let text = name(argument, "a name that survives renames, such as \"users.get\"")?;
    if text.value().contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = "`id` has blanks or control characters in it: write it as one word, such as \"users.get\"";
        return Err(syn::Error::new(text.span(), message));
    }
    Ok(text)
}

pub(crate) fn key(argument: &Argument) -> syn::Result<KeyArgument> {
    let expr = argument.expression("a template such as \"user:{id}\" or an expression such as `(id, &region)`")?;
    Ok(match as_text(&expr) {
        Some(text) => KeyArgument::Template(text),
        None => KeyArgument::Expression(expr),
    })
}

pub(crate) fn single_flight(argument: &Argument) -> syn::Result<bool> {
    const EXPECTED: &str = "\"local\" or \"off\"";
    let text = argument.text(EXPECTED)?;
    match text.value().as_str() {
        "local" => Ok(true),
        "off" => Ok(false),
        "cluster" => Err(syn::Error::new(text.span(), "`single_flight = \"cluster\"` is not supported yet")),
        _ => Err(syn::Error::new(text.span(), format!("`single_flight` takes {EXPECTED}"))),
    }
}

pub(crate) fn handle(argument: &Argument) -> syn::Result<Handle> {
    let word = argument.word("`off` or a name, such as `handle = Users`")?;
    Ok(if word == "off" { Handle::Off } else { Handle::Named(word) })
}

/// A path that is found as before and shown elsewhere, so that a message points at what it is about.
fn located_at(path: &TokenStream, span: Span) -> TokenStream {
    let tokens = path.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(span));
        token
    });
    tokens.collect()
}

impl Fraction {
    /// As a literal in the place where it was written.
    pub(crate) fn literal(self) -> Literal {
        let mut literal = Literal::f64_unsuffixed(self.value);
        literal.set_span(self.span);
        literal
    }
}

impl Time {
    /// As a ttl, where zero means never. The text is read by the compiler, so what is wrong with it shows at it.
    pub(crate) fn ttl(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => {
                let rt = located_at(rt, text.span());
                quote_spanned!(text.span()=> #rt::ttl(#text))
            }
            Time::Seconds(seconds, _) => quote!(#rt::ttl_secs(#seconds)),
        }
    }

    /// As a duration.
    pub(crate) fn duration(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => {
                let rt = located_at(rt, text.span());
                quote_spanned!(text.span()=> #rt::duration(#text))
            }
            Time::Seconds(seconds, _) => quote!(::core::time::Duration::from_secs(#seconds)),
        }
    }
}
