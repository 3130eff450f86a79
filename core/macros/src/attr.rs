//! The arguments of `#[retain]` and what they say.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path};

use crate::arguments::{Argument, Names, Value, as_text, as_word};
use crate::errors::Errors;

const NAMES: Names = Names {
    attribute: "retain",
    known: &[
        "ttl", "jitter", "backend", "key", "skip", "hash_key", "pii", "id", "version", "tags", "none_ttl", "err_ttl",
        "err_if", "when", "single_flight", "max_load_time", "crate", "handle", "assoc",
    ],
    later: &[
        "stale", "grace", "grace_if", "refresh", "eager", "xfetch", "scope", "serializer", "compression", "encryption",
        "codec", "soft_timeout", "hard_timeout", "max_staleness", "verify",
    ],
};

/// A length of time as it is written.
pub(crate) enum Time {
    Text(LitStr),
    Seconds(u64, Span),
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

/// What `#[retain]` was told.
pub(crate) struct Options {
    pub(crate) ttl: Option<Time>,
    pub(crate) none_ttl: Option<(Time, Span)>,
    pub(crate) err_ttl: Option<(Time, Span)>,
    pub(crate) jitter: Option<(f64, Span)>,
    pub(crate) backend: Option<LitStr>,
    pub(crate) key: Option<KeyArgument>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) hash_key: bool,
    pub(crate) pii: bool,
    pub(crate) id: Option<LitStr>,
    pub(crate) version: Option<u32>,
    pub(crate) tags: Vec<LitStr>,
    pub(crate) err_if: Option<Expr>,
    pub(crate) when: Option<Expr>,
    pub(crate) single_flight: bool,
    pub(crate) max_load_time: Option<Time>,
    pub(crate) root: Path,
    pub(crate) handle: Handle,
    pub(crate) assoc: Option<Span>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ttl: None,
            none_ttl: None,
            err_ttl: None,
            jitter: None,
            backend: None,
            key: None,
            skip: Vec::new(),
            hash_key: false,
            pii: false,
            id: None,
            version: None,
            tags: Vec::new(),
            err_if: None,
            when: None,
            single_flight: true,
            max_load_time: None,
            root: default_root(),
            handle: Handle::Own,
            assoc: None,
        }
    }
}

/// Where generated code finds retainit unless `crate = path` says otherwise.
pub(crate) fn default_root() -> Path {
    syn::parse_quote!(::retainit)
}

impl Options {
    /// Reads the arguments and reports all that is wrong with them.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Options {
        let mut options = Options::default();
        for argument in NAMES.read(tokens, errors) {
            let result = options.set(&argument);
            errors.take(result);
        }
        options
    }

    fn set(&mut self, argument: &Argument) -> syn::Result<()> {
        let span = argument.name.span();
        match argument.name.to_string().as_str() {
            "ttl" => self.ttl = Some(time(argument, TTL)?),
            "none_ttl" => self.none_ttl = Some((time(argument, TTL)?, span)),
            "err_ttl" => self.err_ttl = Some((time(argument, TTL)?, span)),
            "max_load_time" => self.max_load_time = Some(load_time(argument)?),
            "jitter" => self.jitter = Some(jitter(argument)?),
            "backend" => self.backend = Some(name(argument, "the name of a backend, such as \"persistent\"")?),
            "id" => self.id = Some(identity(argument)?),
            "version" => self.version = Some(argument.number::<u32>("a whole number from 0 to 4294967295")?.0),
            "key" => self.key = Some(key(argument)?),
            "skip" => self.skip = argument.list("the names of arguments, such as `skip(token)`", as_word)?,
            "tags" => self.tags = argument.list("text, such as `tags(\"user\", \"user:{id}\")`", as_text)?,
            "hash_key" => self.hash_key = argument.flag()?,
            "pii" => self.pii = argument.flag()?,
            "assoc" => self.assoc = argument.flag()?.then_some(span),
            "err_if" => self.err_if = Some(argument.expression("a closure over `&E`, such as `|e| e.is_not_found()`")?),
            "when" => self.when = Some(argument.expression("a closure over what the function returned by reference")?),
            "single_flight" => self.single_flight = single_flight(argument)?,
            "crate" => self.root = argument.path("the path under which retainit is found, such as `my_framework::retainit`")?,
            _ => self.handle = handle(argument)?,
        }
        Ok(())
    }

    /// The module that generated code calls.
    pub(crate) fn rt(&self) -> TokenStream {
        let root = &self.root;
        quote!(#root::__private)
    }
}

const TTL: &str = "a time such as \"30s\", \"5m\", \"2h\", \"never\", \"off\", or whole seconds";
const LENGTH: &str = "a length of time such as \"500ms\", \"60s\", or whole seconds, longer than zero";

fn time(argument: &Argument, expected: &str) -> syn::Result<Time> {
    if argument.is_negative() {
        let message = format!("`{}` lies in the past: it takes {expected}", argument.name);
        return Err(syn::Error::new_spanned(argument.value_tokens(), message));
    }
    match &argument.value {
        Value::Is(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Ok(Time::Text(text.clone())),
        _ => argument.number::<u64>(expected).map(|(seconds, span)| Time::Seconds(seconds, span)),
    }
}

fn load_time(argument: &Argument) -> syn::Result<Time> {
    match time(argument, LENGTH)? {
        Time::Seconds(0, span) => Err(syn::Error::new(span, format!("`max_load_time` takes {LENGTH}"))),
        time => Ok(time),
    }
}

fn jitter(argument: &Argument) -> syn::Result<(f64, Span)> {
    const EXPECTED: &str = "a fraction from 0 to 1, such as 0.1";
    let (value, span) = argument.fraction(EXPECTED)?;
    if (0.0..=1.0).contains(&value) {
        Ok((value, span))
    } else {
        Err(syn::Error::new(span, format!("`jitter` takes {EXPECTED}")))
    }
}

fn name(argument: &Argument, expected: &str) -> syn::Result<LitStr> {
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

fn key(argument: &Argument) -> syn::Result<KeyArgument> {
    let expr = argument.expression("a template such as \"user:{id}\" or an expression such as `(id, &region)`")?;
    Ok(match as_text(&expr) {
        Some(text) => KeyArgument::Template(text),
        None => KeyArgument::Expression(expr),
    })
}

fn single_flight(argument: &Argument) -> syn::Result<bool> {
    const EXPECTED: &str = "\"local\" or \"off\"";
    let text = argument.text(EXPECTED)?;
    match text.value().as_str() {
        "local" => Ok(true),
        "off" => Ok(false),
        "cluster" => Err(syn::Error::new(text.span(), "`single_flight = \"cluster\"` is not supported yet")),
        _ => Err(syn::Error::new(text.span(), format!("`single_flight` takes {EXPECTED}"))),
    }
}

fn handle(argument: &Argument) -> syn::Result<Handle> {
    let word = argument.word("`off` or a name, such as `handle = Users`")?;
    Ok(if word == "off" { Handle::Off } else { Handle::Named(word) })
}

impl Time {
    /// As a ttl, where zero means never. The text is read by the compiler, so what is wrong with it shows at it.
    pub(crate) fn ttl(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => quote_spanned!(text.span()=> #rt::ttl(#text)),
            Time::Seconds(seconds, span) => quote_spanned!(*span=> #rt::ttl_secs(#seconds)),
        }
    }

    /// As a duration.
    pub(crate) fn duration(&self, rt: &TokenStream) -> TokenStream {
        match self {
            Time::Text(text) => quote_spanned!(text.span()=> #rt::duration(#text)),
            Time::Seconds(seconds, span) => {
                quote_spanned!(*span=> ::core::time::Duration::from_secs(#seconds))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tokens: TokenStream) -> Result<Options, Vec<String>> {
        let mut errors = Errors::default();
        let options = Options::parse(tokens, &mut errors);
        match errors.finish() {
            Ok(()) => Ok(options),
            Err(error) => Err(error.into_iter().map(|e| e.to_string()).collect()),
        }
    }

    #[test]
    fn every_argument_is_read() {
        let options = parse(quote! {
            ttl = "5m", jitter = 1, backend = "persistent", key = "user:{id}", skip(self, token), hash_key, pii,
            id = "users.get", version = 2, tags("user", "user:{id}"), none_ttl = 5, err_ttl = "1s",
            err_if = |e| true, when = |r| true, single_flight = "off", max_load_time = 10, crate = crate::retainit,
            handle = Users, assoc,
        })
        .unwrap_or_else(|errors| panic!("{errors:?}"));
        assert!(matches!(options.ttl, Some(Time::Text(_))));
        assert!(matches!(options.none_ttl, Some((Time::Seconds(5, _), _))));
        assert!(matches!(options.key, Some(KeyArgument::Template(_))));
        assert!(matches!(options.handle, Handle::Named(name) if name == "Users"));
        assert_eq!((options.skip.len(), options.tags.len(), options.version), (2, 2, Some(2)));
        assert!(options.hash_key && options.pii && !options.single_flight && options.assoc.is_some());
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let errors = parse(quote! {
            ttl = -1, jitter = 1.5, backend = "", stale = "1s", tll = 3, version = "2", id = "a b", id = "c", handle = 4,
            single_flight = "cluster", skip(), max_load_time = 0
        })
        .err()
        .unwrap();
        let text = errors.join("\n");
        for part in [
            "`ttl` lies in the past", "`jitter` takes", "`backend` is empty", "`stale` is not supported yet",
            "did you mean `ttl`", "`version` takes", "`id` has blanks", "`id` is given twice", "`handle` takes",
            "\"cluster\"` is not supported yet", "`skip` takes", "`max_load_time` takes",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(errors.len(), 12);
    }

    #[test]
    fn a_broken_argument_does_not_hide_the_ones_before_it() {
        let errors = parse(quote!(stale = 1, ttl 5)).err().unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
