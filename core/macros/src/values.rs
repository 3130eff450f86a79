//! Parses values of arguments that are more than a string, a number or a name.

use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use syn::{Expr, ExprLit, Ident, Lit, LitStr};

use crate::arguments::{Argument, Value, as_text};

/// A duration as it is written.
pub(crate) enum Time {
    Text(LitStr),
    Seconds(u64, Span),
}

/// A number from 0 to 1, with its place.
#[derive(Clone, Copy)]
pub(crate) struct Fraction {
    pub(crate) value: f64,
    pub(crate) span: Span,
}

/// Source of the key.
pub(crate) enum KeyArgument {
    Template(LitStr),
    Expression(Expr),
}

/// Value of `handle`.
pub(crate) enum Handle {
    /// The handle has the function's name.
    Own,
    Named(Ident),
    Off,
}

pub(crate) const TTL: &str = "a time such as \"30s\", \"5m\", \"2h\", \"never\", \"off\", or whole seconds";
pub(crate) const TTL_OF: &str =
    "a time such as \"30s\", \"5m\", \"2h\", \"never\", \"off\", whole seconds, or a closure over what is stored";
pub(crate) const SERIALIZER: &str = "the name of a serializer, such as \"json\"";
const LENGTH: &str = "a length of time such as \"500ms\", \"60s\", or whole seconds, longer than zero";

pub(crate) fn time(argument: &Argument, expected: &str) -> syn::Result<Time> {
    if argument.is_negative() {
        let message = format!("`{}` lies in the past: it takes {expected}", argument.name);
        return Err(syn::Error::new_spanned(argument.value_tokens(), message));
    }
    match &argument.value {
        Value::Is(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => match millis(&text.value()) {
            Some(_) => Ok(Time::Text(text.clone())),
            None => {
                let message =
                    format!("`{}` is no time that can be read: `{}` takes {expected}", text.value(), argument.name);
                Err(syn::Error::new(text.span(), message))
            }
        },
        _ => argument.number::<u64>(expected).map(|(seconds, span)| Time::Seconds(seconds, span)),
    }
}

/// Returns a time in milliseconds, `Some(None)` for `never` and `off`; `None` for a text that cannot be read. The
/// compiler reads the text of an attribute a second time, with the function that reads configurations: a test compares
/// the two.
fn millis(text: &str) -> Option<Option<u64>> {
    if let "never" | "off" = text {
        return Some(None);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Some(text.parse::<u64>().ok()?.checked_mul(1_000)?));
    }
    let (mut rest, mut sum) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = number.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(sum)?;
        rest = after;
    }
    Some(Some(sum))
}

pub(crate) fn load_time(argument: &Argument) -> syn::Result<Time> {
    let refuse = |span| Err(syn::Error::new(span, format!("`max_load_time` takes {LENGTH}")));
    match time(argument, LENGTH)? {
        Time::Seconds(0, span) => refuse(span),
        Time::Text(text) if !matches!(millis(&text.value()), Some(Some(1..))) => refuse(text.span()),
        time => Ok(time),
    }
}

/// Reads a length of time that may be none, in milliseconds.
pub(crate) fn staleness(argument: &Argument) -> syn::Result<u64> {
    let refuse = |span| syn::Error::new(span, format!("`max_staleness` takes {LENGTH}, or \"0s\""));
    match time(argument, LENGTH)? {
        Time::Seconds(seconds, span) => seconds.checked_mul(1_000).ok_or_else(|| refuse(span)),
        Time::Text(text) => millis(&text.value()).flatten().ok_or_else(|| refuse(text.span())),
    }
}

pub(crate) fn idle_time(argument: &Argument) -> syn::Result<Time> {
    let expected = "a ttl such as \"10m\", or \"never\"";
    match time(argument, expected)? {
        Time::Text(text) if text.value() == "off" => {
            Err(syn::Error::new(text.span(), format!("`off` is not an idle time: `max_idle` takes {expected}")))
        }
        time => Ok(time),
    }
}

pub(crate) fn entries(argument: &Argument) -> syn::Result<u64> {
    let expected = "a whole number of entries from 1, such as 10_000";
    match argument.number::<u64>(expected)? {
        (0, span) => Err(syn::Error::new(span, format!("`{}` takes {expected}", argument.name))),
        (most, _) => Ok(most),
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

/// Returns the serializer of a codec such as `"json"` or `"json+zstd"`.
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

impl Fraction {
    /// Returns a literal in the place where the number was written.
    pub(crate) fn literal(self) -> Literal {
        let mut literal = Literal::f64_unsuffixed(self.value);
        literal.set_span(self.span);
        literal
    }
}

impl Time {
    /// Returns an expression of type `Ttl`, where zero means never.
    pub(crate) fn ttl(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => quote!(#rt::ttl(#text)),
            Time::Seconds(seconds, _) => quote!(#rt::ttl_secs(#seconds)),
        }
    }

    /// Returns an expression of type `Duration`.
    pub(crate) fn duration(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => quote!(#rt::duration(#text)),
            Time::Seconds(seconds, _) => quote!(#rt::std::time::Duration::from_secs(#seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retainit::Ttl;

    #[test]
    fn times_are_read_as_in_configurations() {
        for text in [
            "",
            "5",
            "0",
            "5m",
            "1h30m",
            "500ms",
            "1d2h3m4s5ms",
            "never",
            "off",
            "5 minutes",
            "5 m",
            "m",
            "5M",
            "1h30",
            "-1s",
            "1.5h",
            "ms",
            "18446744073709551615",
            "18446744073709551616",
            "213503982334d",
            "213503982335d",
            "5min",
            "1s1s",
            "٣s",
            "1sé",
        ] {
            let expected = Ttl::try_parse(text).map(|ttl| match ttl {
                Ttl::For(time) => Some(time),
                Ttl::Never if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(Duration::ZERO),
                Ttl::Never | Ttl::Off => None,
            });
            assert_eq!(super::millis(text).map(|millis| millis.map(Duration::from_millis)), expected, "{text}");
        }
    }
}
