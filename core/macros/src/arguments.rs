//! Parses the arguments of an attribute: `name`, `name = value`, `name(list)`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, ExprUnary, Ident, Lit, LitStr, Path, Token, UnOp, token};

use crate::errors::Errors;
use crate::nearest::nearest;
use crate::words::in_retainit;

/// One argument of an attribute.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

/// Form in which an argument is written.
pub(crate) enum Value {
    Flag,
    Is(Expr),
    List(Vec<Expr>),
}

/// Names of the arguments that an attribute accepts.
pub(crate) struct Names {
    pub(crate) attribute: &'static str,
    pub(crate) known: &'static [&'static str],
    /// Planned arguments, each with the remedy until it exists.
    pub(crate) later: &'static [(&'static str, &'static str)],
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if let Ok(text) = input.fork().parse::<Lit>() {
            let message = format!("an argument has a name, such as `ttl = {}`", text.to_token_stream());
            return Err(syn::Error::new(text.span(), message));
        }
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(token::Paren) {
            let list;
            syn::parenthesized!(list in input);
            let list = Punctuated::<Expr, Token![,]>::parse_terminated(&list)?;
            Value::List(list.into_iter().collect())
        } else if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(unwrap_group(input.parse()?))
        } else {
            Value::Flag
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("expected `= value`, a list in parentheses, or `,`"));
        }
        Ok(Argument { name, value })
    }
}

/// Removes the invisible delimiters around an expression that went through a `macro_rules!`.
fn unwrap_group(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => unwrap_group(*group.expr),
        other => other,
    }
}

impl Names {
    /// Reads the arguments. Unknown, repeated and planned ones are reported and left out.
    pub(crate) fn read(&self, tokens: TokenStream, errors: &mut Errors) -> Vec<Argument> {
        let mut read = Vec::<Argument>::new();
        let parsed = (|input: ParseStream<'_>| {
            while !input.is_empty() {
                let argument = input.parse::<Argument>()?;
                if self.accepts(&argument, &read, errors) {
                    read.push(argument);
                }
                if input.is_empty() {
                    break;
                }
                input.parse::<Token![,]>()?;
            }
            Ok(())
        })
        .parse2(tokens);
        errors.take(parsed);
        read
    }

    fn accepts(&self, argument: &Argument, read: &[Argument], errors: &mut Errors) -> bool {
        let name = argument.name.to_string();
        if let Some((_, until)) = self.later.iter().find(|(later, _)| *later == name) {
            errors.at(&argument.name, format!("`{name}` is not supported yet; {until}"));
        } else if !self.known.contains(&name.as_str()) {
            errors.at(&argument.name, self.unknown(&name));
        } else if read.iter().any(|other| other.name == argument.name) {
            errors.at(&argument.name, format!("`{name}` is given twice: keep one of them"));
        } else {
            return true;
        }
        false
    }

    fn unknown(&self, name: &str) -> String {
        let attribute = self.attribute;
        if let Some(here) = in_retainit(name).filter(|_| attribute == "retain") {
            return format!("`#[{attribute}]` has no argument `{name}`: in retainit this is {here}");
        }
        match nearest(name, self.known) {
            Some(near) => {
                format!("`#[{attribute}]` has no argument `{name}`: did you mean `{near}`?")
            }
            None => format!("`#[{attribute}]` has no argument `{name}`; it has {}", quoted(self.known)),
        }
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Argument {
    fn wrong<T>(&self, expected: &str) -> syn::Result<T> {
        let name = &self.name;
        let message = format!("`{name}` takes {expected}");
        Err(match &self.value {
            Value::Flag => syn::Error::new_spanned(name, message),
            Value::Is(expr) => syn::Error::new_spanned(expr, message),
            Value::List(list) => syn::Error::new(
                list.iter().map(syn::spanned::Spanned::span).fold(name.span(), |all, one| all.join(one).unwrap_or(all)),
                message,
            ),
        })
    }

    /// Reads `name` alone.
    pub(crate) fn flag(&self) -> syn::Result<bool> {
        match self.value {
            Value::Flag => Ok(true),
            _ => self.wrong(&format!("no value: write just `{}`", self.name)),
        }
    }

    /// Reads `name = "text"`.
    pub(crate) fn text(&self, expected: &str) -> syn::Result<LitStr> {
        match &self.value {
            Value::Is(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Ok(text.clone()),
            _ => self.wrong(expected),
        }
    }

    /// Reads `name = 5`; the span is the number's.
    pub(crate) fn number<N: std::str::FromStr>(&self, expected: &str) -> syn::Result<(N, Span)>
    where
        N::Err: std::fmt::Display,
    {
        match &self.value {
            Value::Is(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => match number.base10_parse() {
                Ok(value) => Ok((value, number.span())),
                Err(_) => self.wrong(expected),
            },
            _ => self.wrong(expected),
        }
    }

    /// Reads `name = 0.5`; whole numbers too.
    pub(crate) fn fraction(&self, expected: &str) -> syn::Result<(f64, Span)> {
        let value = match &self.value {
            Value::Is(Expr::Lit(ExprLit { lit: Lit::Float(number), .. })) => number.base10_parse().ok(),
            Value::Is(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => number.base10_parse().ok(),
            _ => None,
        };
        match (value, &self.value) {
            (Some(value), Value::Is(expr)) => Ok((value, expr.span())),
            _ => self.wrong(expected),
        }
    }

    /// Reads `name = expression`.
    pub(crate) fn expression(&self, expected: &str) -> syn::Result<Expr> {
        match &self.value {
            Value::Is(expr) => Ok(expr.clone()),
            _ => self.wrong(expected),
        }
    }

    /// Returns the value if it is a closure.
    pub(crate) fn closure(&self) -> Option<Expr> {
        match &self.value {
            Value::Is(closure @ Expr::Closure(_)) => Some(closure.clone()),
            _ => None,
        }
    }

    /// Reads `name = some::path`.
    pub(crate) fn path(&self, expected: &str) -> syn::Result<Path> {
        match &self.value {
            Value::Is(Expr::Path(path)) if path.qself.is_none() => Ok(path.path.clone()),
            _ => self.wrong(expected),
        }
    }

    /// Reads `name = Word`.
    pub(crate) fn word(&self, expected: &str) -> syn::Result<Ident> {
        match self.path(expected)?.get_ident() {
            Some(word) => Ok(word.clone()),
            None => self.wrong(expected),
        }
    }

    /// Reads `name(a, b)` and converts each item; an empty list is an error.
    pub(crate) fn list<T>(&self, expected: &str, item: impl Fn(&Expr) -> Option<T>) -> syn::Result<Vec<T>> {
        let Value::List(list) = &self.value else {
            return self.wrong(expected);
        };
        if list.is_empty() {
            return self.wrong(expected);
        }
        let mut errors = Errors::default();
        let items = list
            .iter()
            .filter_map(|expr| {
                let found = item(expr);
                if found.is_none() {
                    errors.at(expr, format!("`{}` takes {expected}", self.name));
                }
                found
            })
            .collect();
        errors.finish().map(|()| items)
    }

    /// Returns whether the value is a number with a minus sign, which has a message of its own.
    pub(crate) fn is_negative(&self) -> bool {
        matches!(&self.value, Value::Is(Expr::Unary(ExprUnary { op: UnOp::Neg(_), .. })))
            || matches!(&self.value, Value::Is(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) if text.value().starts_with('-'))
    }

    /// Returns the value's tokens, for messages.
    pub(crate) fn value_tokens(&self) -> TokenStream {
        match &self.value {
            Value::Is(expr) => expr.to_token_stream(),
            _ => self.name.to_token_stream(),
        }
    }
}

/// Returns an item of a list that is a string literal.
pub(crate) fn as_text(expr: &Expr) -> Option<LitStr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
        Expr::Group(group) => as_text(&group.expr),
        _ => None,
    }
}

/// Returns an item of a list that is a bare name; `self` is one.
pub(crate) fn as_word(expr: &Expr) -> Option<Ident> {
    match expr {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident().cloned(),
        Expr::Group(group) => as_word(&group.expr),
        _ => None,
    }
}
