/// Pattern for keys as `keys()` shows them: `*` matches any run of characters, `?` one.
///
/// Every other character matches itself. Values in keys have their `*` and `?` escaped, so that no argument can widen a
/// pattern.
///
/// ```
/// # use retainit_core as retainit;
/// use retainit::Pattern;
///
/// let pattern = Pattern::new("users:4?");
/// assert!(pattern.matches("users:42") && !pattern.matches("users:421"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Makes a pattern from its text.
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// Returns the pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the first wildcard: every match begins with it.
    pub fn prefix(&self) -> &str {
        self.0.split(['*', '?']).next().unwrap_or_default()
    }

    /// Returns true if `key` matches as a whole. Linear in key and pattern for one `*`, and never worse than their
    /// product.
    pub fn matches(&self, key: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.chars(), key.chars());
        // The last `*` and the text it was matched at. A mismatch goes back there and lets it take one more character;
        // going back to earlier ones is never needed, since the last can take everything they could.
        let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
        loop {
            let (before, at) = (pattern.clone(), rest.clone());
            match (pattern.next(), rest.next()) {
                (Some('*'), _) => {
                    rest = at.clone();
                    retry = Some((pattern.clone(), at));
                }
                (Some('?'), Some(_)) => {}
                (Some(p), Some(c)) if p == c => {}
                (None, None) => return true,
                _ => {
                    drop(before);
                    let Some((after_star, mut from)) = retry.take() else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    pattern = after_star.clone();
                    rest = from.clone();
                    retry = Some((after_star, from));
                }
            }
        }
    }
}

impl<T: Into<String>> From<T> for Pattern {
    fn from(text: T) -> Pattern {
        Pattern::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, key, expected) in [
            ("users:*", "users:42", true),
            ("users:*", "users:", true),
            ("users:*", "user:42", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("*:42", "a:b:42", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("user:4?", "user:4", false),
            ("user:4?", "user:4é", true),
            ("**a", "bca", true),
            ("a[b]", "a[b]", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let key = "a".repeat(2_000);
        assert!(!Pattern::new("*a".repeat(50) + "b").matches(&key));
    }
}
