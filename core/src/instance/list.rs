use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::Retainit;
use super::check;
use super::explained::{Explained, options};
use super::functions::{Identity, attribute, number};
use crate::engine::{Function, Plan};
use crate::options::Options;
use crate::site::{Site, linked};

/// All retained functions of the program, as an instance would call them: made by [`Retainit::functions`].
///
/// It derefs to a slice in the order of the ids, and `Display` prints a table.
#[derive(Clone, Debug, Default)]
pub struct FunctionList(Vec<FunctionInfo>);

impl Deref for FunctionList {
    type Target = [FunctionInfo];

    fn deref(&self) -> &[FunctionInfo] {
        &self.0
    }
}

impl IntoIterator for FunctionList {
    type Item = FunctionInfo;
    type IntoIter = std::vec::IntoIter<FunctionInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for FunctionList {
    /// Prints a table with a line for each function: id and version, place, backend, and the options that are set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |of: &dyn Fn(&FunctionInfo) -> String| self.iter().map(|it| of(it).chars().count()).max().unwrap_or(0);
        let (name, place) = (|it: &FunctionInfo| format!("{}@{}", it.id, it.version), FunctionInfo::place);
        let [names, places, backends] =
            [width(&name).max(8), width(&place).max(5), width(&|it| it.backend.clone()).max(7)];
        writeln!(f, "{:<names$}  {:<places$}  {:<backends$}  options", "function", "place", "backend")?;
        for it in self.iter() {
            write!(f, "{:<names$}  {:<places$}  {:<backends$}", name(it), it.place(), it.backend)?;
            for option in it.options.iter().filter(|option| option.source != "default") {
                write!(f, "  {}={}", option.name, option.value)?;
            }
            match &it.uncached {
                Some(why) => writeln!(f, "  uncached: {why}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// One retained function, with its options in an instance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FunctionInfo {
    /// Id of the function in files, keys and patterns. For a generic function or method that was not called yet, the id
    /// to which its types will be added.
    pub id: String,
    /// Version of the function, from the attribute.
    pub version: u32,
    /// Source file of the attribute.
    pub file: &'static str,
    /// Line of the attribute.
    pub line: u32,
    /// Name of its backend; `none` if there is no backend of that name.
    pub backend: String,
    /// All options in force, with the source of each.
    pub options: Vec<Explained>,
    /// Reason why its calls run uncached, if they do.
    pub uncached: Option<String>,
}

impl FunctionInfo {
    fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl Retainit {
    /// Lists the retained functions that are linked into the program, with id, place in the source, backend and
    /// options. A generic function or method is listed by its instantiations that were called here, or else by itself.
    ///
    /// ```
    /// # fn example(retainit: &retainit_core::Retainit) {
    /// print!("{}", retainit.functions());
    /// # }
    /// ```
    pub fn functions(&self) -> FunctionList {
        let uncached = check::uncached(self);
        let called = self.registered().sites();
        let is_called = |site: &Site| called.iter().any(|known| known.descriptor.place() == site.descriptor.place());
        let idle = linked().filter(|site| !site.descriptor.is_lazy() || !is_called(site));
        let lazy = called.iter().copied().filter(|site| site.descriptor.is_lazy());
        let mut all: Vec<_> = idle.chain(lazy).filter_map(|site| self.info(site)).collect();
        for info in &mut all {
            // The place has a column of its own.
            let place = format!(" (at: {}:", info.place());
            let without_place = |why: String| why.split_once(&place).map_or(why.clone(), |(why, _)| why.to_owned());
            info.uncached = uncached.get(&info.id).map(|why| without_place(why.to_string()));
        }
        all.sort_by(|one, other| (&one.id, one.place()).cmp(&(&other.id, other.place())));
        FunctionList(all)
    }

    /// Describes one function; `None` only if there are more functions than numbers for them.
    fn info(&self, site: &'static Site) -> Option<FunctionInfo> {
        let (descriptor, own) = (&site.descriptor, attribute(site));
        let Identity { id, .. } = Identity::of(site);
        let named = self.backend_of(&id, own.backend);
        let store = named.map_or_else(|| self.default_store(), |name| self.store(&name));
        let backend = store.as_ref().map_or_else(|_| "none".to_owned(), |store| store.name.to_string());
        let store = store.unwrap_or_else(|_| self.nowhere());
        let mut layers = self.layers(&id, Options::NONE, own);
        self.add_backend(&mut layers, &id, &store);
        let (version, keys) = (descriptor.version, crate::key::KeyKind::Canonical);
        let function = Arc::new(Function::new(number().ok()?, id.clone(), version, keys, self.engine().bus()));
        let options = options(&Plan::new(self.context(), function, store, layers, None, None, None));
        let (file, line) = (descriptor.file, descriptor.line);
        Some(FunctionInfo { id, version, file, line, backend, options, uncached: None })
    }
}
