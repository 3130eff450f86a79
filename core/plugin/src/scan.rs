/// Selects the keys that a scan lists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scan {
    /// Keys that begin with this.
    pub prefix: String,
    /// End of the last page, from [`Page::next`].
    pub cursor: Option<String>,
    /// About how many keys a page should have.
    pub page: usize,
    /// Show slots too that hold nothing but a placeholder: who removes by pattern removes those, so that the loads
    /// behind them are refused. A backend without placeholders breaks the fences of empty slots at such a scan instead.
    pub placeholders: bool,
}

impl Scan {
    /// Scans the first page of the keys below `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Scan {
        Scan { prefix: prefix.into(), cursor: None, page: 512, placeholders: false }
    }

    /// Shows placeholders too.
    #[must_use]
    pub fn placeholders(mut self) -> Scan {
        self.placeholders = true;
        self
    }

    /// Continues behind `cursor`, with the next page.
    #[must_use]
    pub fn after(mut self, cursor: String) -> Scan {
        self.cursor = Some(cursor);
        self
    }
}

/// A page of keys, with the start of the next one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Full keys; placeholders only if they were asked for. A key may appear twice while others write.
    pub keys: Vec<String>,
    /// Start of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Page {
    /// Makes a page.
    pub fn new(keys: Vec<String>, next: Option<String>) -> Page {
        Page { keys, next }
    }
}
