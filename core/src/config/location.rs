//! Place of a setting in its source.

use std::fmt;

/// A place in a source, as messages show it: `retainit.toml:12`, a variable's name, `code`. Places of one source sort
/// by line.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    line: Option<usize>,
    text: String,
    /// Length of the source's name at the beginning of the text.
    source: usize,
}

impl Location {
    /// Makes the place of a line of a file.
    pub(super) fn line(file: &str, line: usize) -> Location {
        Location { text: format!("{file}:{line}"), source: file.len(), line: Some(line) }
    }

    /// Returns the text for messages.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the source without the line.
    pub(super) fn source(&self) -> &str {
        &self.text[..self.source]
    }

    /// Returns the line of a place in a file.
    pub(super) fn number(&self) -> Option<usize> {
        self.line
    }
}

/// Makes the place of a source without lines, or of a whole file.
impl From<&str> for Location {
    fn from(source: &str) -> Location {
        Location { text: source.to_owned(), source: source.len(), line: None }
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Location {
        location.clone()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
