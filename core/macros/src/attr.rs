//! Parses the arguments of `#[retain]` into options.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Expr, Ident, LitStr, Path};

use crate::arguments::{Argument, Names, as_text, as_word};
use crate::errors::Errors;
use crate::values::{
    Fraction, Handle, KeyArgument, SERIALIZER, TTL, TTL_OF, Time, codec, entries, fraction, handle, identity,
    idle_time, key, load_time, name, single_flight, staleness, time,
};
use crate::words::LATER;

const NAMES: Names = Names {
    attribute: "retain",
    known: &[
        "ttl",
        "jitter",
        "backend",
        "key",
        "skip",
        "hash_key",
        "pii",
        "id",
        "version",
        "tags",
        "none_ttl",
        "err_ttl",
        "err_if",
        "when",
        "single_flight",
        "max_load_time",
        "max_staleness",
        "max_idle",
        "max_entries",
        "serializer",
        "codec",
        "verify",
        "crate",
        "handle",
        "assoc",
    ],
    later: LATER,
};

/// Options of `#[retain]`.
pub(crate) struct Options {
    pub(crate) ttl: Option<Time>,
    /// The closure of `ttl = |value| …`.
    pub(crate) ttl_of: Option<Expr>,
    pub(crate) none_ttl: Option<(Time, Span)>,
    pub(crate) err_ttl: Option<(Time, Span)>,
    pub(crate) jitter: Option<Fraction>,
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
    /// In milliseconds.
    pub(crate) max_staleness: Option<u64>,
    pub(crate) max_idle: Option<Time>,
    pub(crate) max_entries: Option<u64>,
    pub(crate) serializer: Option<String>,
    pub(crate) verify: Option<Fraction>,
    pub(crate) root: Path,
    pub(crate) handle: Handle,
    pub(crate) assoc: Option<Span>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            ttl: None,
            ttl_of: None,
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
            max_staleness: None,
            max_idle: None,
            max_entries: None,
            serializer: None,
            verify: None,
            root: default_root(),
            handle: Handle::Own,
            assoc: None,
        }
    }
}

/// Returns the path of retainit in generated code, unless `crate = path` sets another.
pub(crate) fn default_root() -> Path {
    syn::parse_quote!(::retainit)
}

impl Options {
    /// Reads the arguments and reports all problems with them.
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
            "ttl" => match argument.closure() {
                Some(closure) => self.ttl_of = Some(closure),
                None => self.ttl = Some(time(argument, TTL_OF)?),
            },
            "none_ttl" => self.none_ttl = Some((time(argument, TTL)?, span)),
            "err_ttl" => self.err_ttl = Some((time(argument, TTL)?, span)),
            "max_load_time" => self.max_load_time = Some(load_time(argument)?),
            "max_staleness" => self.max_staleness = Some(staleness(argument)?),
            "max_idle" => self.max_idle = Some(idle_time(argument)?),
            "max_entries" => self.max_entries = Some(entries(argument)?),
            "jitter" => self.jitter = Some(fraction(argument, "0.1")?),
            "verify" => self.verify = Some(fraction(argument, "0.01")?),
            "serializer" => self.serialized_by(argument, name(argument, SERIALIZER)?.value())?,
            "codec" => self.serialized_by(argument, codec(argument)?)?,
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
            "crate" => {
                self.root = argument.path("the path under which retainit is found, such as `my_framework::retainit`")?
            }
            _ => self.handle = handle(argument)?,
        }
        Ok(())
    }

    fn serialized_by(&mut self, argument: &Argument, name: String) -> syn::Result<()> {
        if self.serializer.replace(name).is_some() {
            let message = "`serializer` and `codec` both name the serializer: keep one of them";
            return Err(syn::Error::new_spanned(&argument.name, message));
        }
        Ok(())
    }

    /// Returns the path of the module that generated code calls.
    pub(crate) fn rt(&self) -> TokenStream {
        let root = &self.root;
        quote!(#root::__private)
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
            err_if = |e| true, when = |r| true, single_flight = "off", max_load_time = 10,
            codec = "json", verify = 0.01, crate = crate::retainit,
            handle = Users, assoc,
        })
        .unwrap_or_else(|errors| panic!("{errors:?}"));
        assert!(matches!(options.ttl, Some(Time::Text(_))));
        assert!(matches!(options.none_ttl, Some((Time::Seconds(5, _), _))));
        assert!(matches!(options.key, Some(KeyArgument::Template(_))));
        assert!(matches!(options.handle, Handle::Named(name) if name == "Users"));
        assert_eq!((options.skip.len(), options.tags.len(), options.version), (2, 2, Some(2)));
        assert_eq!(
            (options.serializer.as_deref(), options.verify.map(|verify| verify.value)),
            (Some("json"), Some(0.01))
        );
        assert!(options.hash_key && options.pii && !options.single_flight && options.assoc.is_some());
    }

    #[test]
    fn a_ttl_may_be_a_closure() {
        let options = parse(quote!(ttl = |token| token.expires_in)).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert!(options.ttl_of.is_some() && options.ttl.is_none());
        assert!(parse(quote!(ttl = f())).is_err_and(|errors| errors[0].contains("or a closure")));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let errors = parse(quote! {
            ttl = -1, jitter = 1.5, backend = "", stale = "1s", tll = 3, version = "2", id = "a b", id = "c", handle = 4,
            single_flight = "cluster", skip(), max_load_time = 0, verify = 2, codec = "json+zstd", max_entries = 0
        })
        .err()
        .unwrap();
        let text = errors.join("\n");
        for part in [
            "`ttl` lies in the past",
            "`jitter` takes",
            "`backend` is empty",
            "`stale` is not supported yet",
            "did you mean `ttl`",
            "`version` takes",
            "`id` has blanks",
            "`id` is given twice",
            "`handle` takes",
            "\"cluster\"` is not supported yet",
            "`skip` takes",
            "`max_load_time` takes",
            "`verify` takes",
            "`max_entries` takes",
            "`zstd`, a compression or an encryption, is not supported yet",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(errors.len(), 15);
    }

    #[test]
    fn a_broken_argument_does_not_hide_the_ones_before_it() {
        let errors = parse(quote!(stale = 1, ttl 5)).err().unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
}
