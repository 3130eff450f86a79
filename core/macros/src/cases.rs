//! Expands the cases of `tests/ui` in this process: in milliseconds, and where coverage is measured. `tests/ui.rs`
//! checks that the results compile, and the places of messages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::visit::{self, Visit};
use syn::{Attribute, File, ImplItem, Item, Lit, Macro, Meta, TraitItem};

type Expand = fn(TokenStream, TokenStream) -> TokenStream;

const ATTRIBUTES: [(&str, Expand); 4] = [
    ("retain", crate::expand::retain),
    ("retain_put", crate::put::retain_put),
    ("invalidate", crate::invalidate::invalidate),
    ("on", crate::on::on),
];

/// Expansions and errors of the attributes of one file.
#[derive(Default)]
struct Seen {
    expanded: usize,
    errors: BTreeSet<String>,
}

impl Seen {
    fn of(path: &Path) -> Seen {
        let mut seen = Seen::default();
        let text = fs::read_to_string(path).unwrap();
        seen.visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        seen
    }

    /// Expands the first attribute of retainit; later ones stay on the item, as with rustc.
    fn expand(&mut self, attributes: &[Attribute], item: &impl ToTokens) -> Option<TokenStream> {
        let (at, expand) = attributes.iter().enumerate().find_map(|(at, attribute)| {
            let name = &attribute.path().segments.last()?.ident;
            ATTRIBUTES.iter().find(|(ours, _)| name == ours).map(|(_, expand)| (at, expand))
        })?;
        let arguments = match &attributes[at].meta {
            Meta::List(list) => list.tokens.clone(),
            _ => TokenStream::new(),
        };
        let attribute = attributes[at].to_token_stream().to_string();
        let without = item.to_token_stream().to_string().replacen(&attribute, "", 1);
        self.expanded += 1;
        Some(expand(arguments, without.parse().unwrap()))
    }

    /// Visits the items of an expansion inside an `impl` or a trait.
    fn visit_associated(&mut self, expanded: &TokenStream) {
        // An item where none can be is for the compiler to refuse.
        if let Ok(parsed) = syn::parse2(quote!(impl X { #expanded })) {
            self.visit_item_impl(&parsed);
        }
    }

    fn derive(&mut self, attributes: &[Attribute], item: &Item) {
        let derives = |attribute: &Attribute| match &attribute.meta {
            Meta::List(list) => list.path.is_ident("derive") && list.tokens.to_string().contains("TypeTag"),
            _ => false,
        };
        if attributes.iter().any(derives) {
            self.expanded += 1;
            let expanded = crate::type_tag::type_tag(item.to_token_stream());
            self.visit_file(&syn::parse2(expanded).expect("the expansion is Rust"));
        }
    }
}

impl<'ast> Visit<'ast> for Seen {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            Item::Enum(it) => &it.attrs,
            Item::Union(it) => &it.attrs,
            Item::Static(it) => &it.attrs,
            Item::Const(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Trait(it) => &it.attrs,
            _ => return visit::visit_item(self, item),
        };
        self.derive(attributes, item);
        match self.expand(attributes, item) {
            Some(expanded) => self.visit_file(&syn::parse2::<File>(expanded).expect("the expansion is Rust")),
            None => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = if let ImplItem::Fn(it) = item { &*it.attrs } else { &[] };
        match self.expand(attributes, item) {
            Some(expanded) => self.visit_associated(&expanded),
            None => visit::visit_impl_item(self, item),
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        let attributes = if let TraitItem::Fn(it) = item { &*it.attrs } else { &[] };
        match self.expand(attributes, item) {
            Some(expanded) => self.visit_associated(&expanded),
            None => visit::visit_trait_item(self, item),
        }
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if called.path.segments.last().is_some_and(|last| last.ident == "compile_error") {
            let Ok(Lit::Str(message)) = syn::parse2(called.tokens.clone()) else { return };
            self.errors.insert(message.value().lines().next().unwrap_or_default().to_owned());
        }
    }
}

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui").join(kind);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|is| is == "rs")).collect()
}

#[test]
fn what_compiles_is_expanded_without_errors() {
    for path in cases("pass") {
        let seen = Seen::of(&path);
        assert!(seen.expanded > 0, "{} has no attribute of ours", path.display());
        assert_eq!(seen.errors, BTreeSet::new(), "{}", path.display());
    }
}

#[test]
fn messages_are_those_the_compiler_shows() {
    /// Texts of errors of rustc that have no code.
    const OF_RUSTC: [&str; 2] =
        ["future cannot be sent between threads safely", "enum is not supported in `trait`s or `impl`s"];
    for path in cases("fail") {
        let text = fs::read_to_string(path.with_extension("stderr")).unwrap();
        let shown =
            text.lines().filter_map(|line| line.strip_prefix("error: ")).filter(|message| !OF_RUSTC.contains(message));
        let seen = Seen::of(&path);
        assert!(seen.expanded > 0, "{} has no attribute of ours", path.display());
        assert_eq!(seen.errors, shown.map(str::to_owned).collect(), "{}", path.display());
    }
}
