//! Suggests the name that was probably meant.

/// Returns the name that is at most two edits away, or of which at least half is right.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .min()
        .filter(|(edits, candidate)| *edits <= 2 || *edits * 2 <= candidate.len())
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let known = ["ttl", "jitter", "single_flight", "none_ttl"];
        assert_eq!(nearest("tll", &known), Some("ttl"));
        assert_eq!(nearest("single_fligth", &known), Some("single_flight"));
        assert_eq!(nearest("singleflight", &known), Some("single_flight"));
        assert_eq!(nearest("colour", &known), None);
    }
}
