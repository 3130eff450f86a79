//! Parses templates of keys and tags: text with `{argument}` in it.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Ident, Index, LitStr};

use crate::nearest::nearest;

/// A template whose placeholders are known arguments.
pub(crate) struct Template {
    /// Literal parts, one more than values.
    pub(crate) literals: Vec<String>,
    /// Indices of the arguments.
    pub(crate) values: Vec<usize>,
    /// Characters that separate one value from the next.
    pub(crate) between: String,
    /// Types of the values as they are spelled; not needed for tags, which are plain text.
    pub(crate) types: Vec<String>,
    pub(crate) span: Span,
}

/// Arguments that a placeholder may name.
pub(crate) struct Scope<'a> {
    /// All arguments without `self`.
    pub(crate) arguments: &'a [Ident],
    pub(crate) skipped: &'a [Ident],
}

#[derive(Debug, PartialEq)]
enum Placeholder {
    Next,
    Named(String),
}

impl Template {
    /// Reads a template; the error is at the literal.
    pub(crate) fn parse(text: &LitStr, scope: &Scope<'_>) -> syn::Result<Template> {
        let fail = |message| syn::Error::new(text.span(), message);
        let (literals, placeholders) = split(&text.value()).map_err(fail)?;
        let between = separators(&literals, &placeholders).map_err(fail)?;
        let mixed = placeholders.contains(&Placeholder::Next) && placeholders.iter().any(|p| *p != Placeholder::Next);
        if mixed {
            return Err(fail("`{}` and named placeholders do not mix: name them all".to_owned()));
        }
        let values = placeholders
            .iter()
            .enumerate()
            .map(|(at, placeholder)| scope.resolve(placeholder, at))
            .collect::<Result<_, _>>()
            .map_err(fail)?;
        Ok(Template { literals, values, between, types: Vec::new(), span: text.span() })
    }

    /// Returns the named arguments, each once, in the order of their declaration.
    pub(crate) fn arguments(&self) -> Vec<usize> {
        let mut indices = self.values.clone();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// Returns `.ordered(…)` for a handle, with the index of the value for each placeholder. Empty if the placeholders
    /// are in the order of declaration.
    pub(crate) fn order(&self, arguments: &[usize]) -> TokenStream {
        if self.values == arguments {
            return TokenStream::new();
        }
        let order = self.values.iter().map(|value| {
            let at = arguments.binary_search(value);
            Index::from(at.expect("they are the template's arguments"))
        });
        quote!(.ordered(&[#(#order),*]))
    }

    /// Returns the template as a key source, over variables of the arguments' names.
    pub(crate) fn source(&self, rt: &TokenStream, arguments: &[Ident]) -> TokenStream {
        let values = self.values.iter().map(|index| {
            let name = respan(&arguments[*index], self.span);
            quote!(#rt::KeyPart(&#name).__retain_part())
        });
        self.around(rt, &quote!((#(#values,)*)))
    }

    /// Returns the template with these values.
    pub(crate) fn around(&self, rt: &TokenStream, values: &TokenStream) -> TokenStream {
        let Template { literals, between, types, .. } = self;
        quote! {
            #rt::Template { literals: &[#(#literals),*], between: #between, types: &[#(#types),*], values: #values }
        }
    }

    /// Returns the text of the template as a tag.
    pub(crate) fn tag(&self, rt: &TokenStream, arguments: &[Ident]) -> TokenStream {
        if self.values.is_empty() {
            let text = &self.literals[0];
            return quote!(#rt::std::string::String::from(#text));
        }
        let source = self.source(rt, arguments);
        quote!(#rt::tag(&#source))
    }
}

/// Returns a name that resolves like the argument and has the place of the template, where errors about its type are
/// reported.
pub(crate) fn respan(name: &Ident, span: Span) -> Ident {
    let mut name = name.clone();
    name.set_span(span.resolved_at(name.span()));
    name
}

impl Scope<'_> {
    fn resolve(&self, placeholder: &Placeholder, at: usize) -> Result<usize, String> {
        let index = match placeholder {
            Placeholder::Next if at < self.arguments.len() => at,
            Placeholder::Next => {
                return Err(format!(
                    "there is no argument for the {}. `{{}}`: the function has {} without `self`",
                    at + 1,
                    self.arguments.len()
                ));
            }
            Placeholder::Named(name) => self.find(name)?,
        };
        let name = &self.arguments[index];
        if self.skipped.contains(name) {
            return Err(format!("`{name}` is skipped and cannot be used here: take it out of `skip`"));
        }
        Ok(index)
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        if let Some(index) = self.arguments.iter().position(|argument| argument.unraw() == name) {
            return Ok(index);
        }
        if name.starts_with("self") || name.contains('.') {
            return Err(format!(
                "`{{{name}}}` is not an argument: a placeholder is an argument's name; for anything else write an \
                 expression, such as `key = (self.tenant, id)`"
            ));
        }
        let names = self.arguments.iter().map(|argument| argument.unraw().to_string()).collect::<Vec<_>>();
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        Err(match nearest(name, &names) {
            Some(near) => format!("there is no argument `{name}`: did you mean `{near}`?"),
            None if names.is_empty() => {
                format!("there is no argument `{name}`: the function has none")
            }
            None => format!("there is no argument `{name}`; the function has `{}`", names.join("`, `")),
        })
    }
}

/// Splits a template into literals and placeholders; `{{` and `}}` are braces.
fn split(text: &str) -> Result<(Vec<String>, Vec<Placeholder>), String> {
    let (mut literals, mut placeholders) = (vec![String::new()], Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        let last = literals.last_mut().expect("it begins with one and only grows");
        last.push_str(before);
        if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
            last.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        if brace.starts_with('}') {
            return Err("`}` closes nothing: write `}}` for a brace".to_owned());
        }
        let Some((name, after)) = brace[1..].split_once('}') else {
            return Err("`{` is not closed: write `{{` for a brace".to_owned());
        };
        placeholders.push(placeholder(name.trim())?);
        literals.push(String::new());
        rest = after;
    }
    literals.last_mut().expect("it begins with one and only grows").push_str(rest);
    Ok((literals, placeholders))
}

fn placeholder(name: &str) -> Result<Placeholder, String> {
    if name.contains('{') {
        return Err("`{` is not closed: write `{{` for a brace".to_owned());
    }
    if name.contains(':') {
        return Err(format!("`{{{name}}}` has a format: a placeholder is only an argument's name"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{{{name}}}` is a number: name the argument, or write `{{}}` for one after the other"));
    }
    Ok(if name.is_empty() { Placeholder::Next } else { Placeholder::Named(name.to_owned()) })
}

/// Returns the distinct separators, which are escaped in values. Two values without one between them are an error:
/// their texts could not be distinguished.
fn separators(literals: &[String], placeholders: &[Placeholder]) -> Result<String, String> {
    let mut between = String::new();
    for at in 1..placeholders.len() {
        let separators = literals[at].chars().filter(|c| !c.is_alphanumeric() && *c != '%').collect::<Vec<_>>();
        if separators.is_empty() {
            return Err(format!(
                "nothing tells {} from {}: put a character such as `:` between them that is no letter, digit or `%`",
                placeholders[at - 1].shown(),
                placeholders[at].shown()
            ));
        }
        for separator in separators {
            if !between.contains(separator) {
                between.push(separator);
            }
        }
    }
    Ok(between)
}

impl Placeholder {
    fn shown(&self) -> String {
        match self {
            Placeholder::Next => "`{}`".to_owned(),
            Placeholder::Named(name) => format!("`{{{name}}}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::format_ident;

    use super::*;

    fn parse(text: &str) -> Result<(Vec<String>, Vec<usize>, String), String> {
        let arguments = ["id", "region", "r#type", "token"].map(|name| match name.strip_prefix("r#") {
            Some(raw) => Ident::new_raw(raw, Span::call_site()),
            None => format_ident!("{name}"),
        });
        let scope = Scope { arguments: &arguments, skipped: &[format_ident!("token")] };
        Template::parse(&LitStr::new(text, Span::call_site()), &scope)
            .map(|template| (template.literals, template.values, template.between))
            .map_err(|error| error.to_string())
    }

    fn parts(literals: &[&str], values: &[usize], between: &str) -> Result<(Vec<String>, Vec<usize>, String), String> {
        Ok((literals.iter().map(|l| (*l).to_owned()).collect(), values.to_vec(), between.to_owned()))
    }

    // A-02, A-03
    #[test]
    fn templates_are_split() {
        assert_eq!(parse("all"), parts(&["all"], &[], ""));
        assert_eq!(parse("user:{id}"), parts(&["user:", ""], &[0], ""));
        assert_eq!(parse("user:{}"), parts(&["user:", ""], &[0], ""));
        assert_eq!(parse("{}:{}"), parts(&["", ":", ""], &[0, 1], ":"));
        assert_eq!(parse("{region}/{id}:-/{ type }"), parts(&["", "/", ":-/", ""], &[1, 0, 2], "/:-"));
        assert_eq!(parse("{{{id}}}"), parts(&["{", "}"], &[0], ""));
        assert_eq!(parse("{id}a_%{id}"), parts(&["", "a_%", ""], &[0, 0], "_"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("{id", "not closed"),
            ("{id{region}", "not closed"),
            ("id}", "closes nothing"),
            ("{id:?}", "has a format"),
            ("{0}", "is a number"),
            ("{}/{id}", "do not mix"),
            ("{id}{region}", "nothing tells `{id}` from `{region}`"),
            ("{id}a1%{region}", "nothing tells"),
            ("{regoin}", "did you mean `region`"),
            ("{colours}", "the function has `id`, `region`, `type`, `token`"),
            ("{self.id}", "is not an argument"),
            ("{token}", "is skipped"),
            ("{}/{}/{}/{}", "is skipped"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
