use std::fmt;
use std::sync::Once;
use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// Time for which a result is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// Fresh for this long.
    For(Duration),
    /// Fresh until removed, invalidated or evicted.
    Never,
    /// Turns storing off.
    Off,
}

const REMEDY: &str =
    "expected a whole number of seconds, \"500ms\", \"30s\", \"5m\", \"2h\", \"1d\", \"never\" or \"off\"";

impl Ttl {
    /// Reads `"5m"`, `"1h30m"`, `"500ms"`, `"300"` (seconds), `"never"` and `"off"`. Zero means never.
    ///
    /// It is a `const fn`, so that the attribute's `ttl = "…"` is checked when the program is compiled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the text is none of these; a negative value is one.
    pub fn parse(text: &str) -> Result<Ttl> {
        Ttl::try_parse(text).ok_or_else(|| Error::new(ErrorKind::Config, format!("unreadable ttl `{text}`: {REMEDY}")))
    }

    /// Parses as [`Ttl::parse`] does, to `None` for unreadable text.
    pub const fn try_parse(text: &str) -> Option<Ttl> {
        let text = text.as_bytes();
        if matches(text, b"never") {
            return Some(Ttl::Never);
        }
        if matches(text, b"off") {
            return Some(Ttl::Off);
        }
        let (mut at, mut millis) = (0, 0u64);
        while at < text.len() {
            let (digits, mut number) = (at, 0u64);
            while at < text.len() && text[at].is_ascii_digit() {
                number = match number.checked_mul(10) {
                    Some(tens) => match tens.checked_add((text[at] - b'0') as u64) {
                        Some(number) => number,
                        None => return None,
                    },
                    None => return None,
                };
                at += 1;
            }
            if at == digits {
                return None;
            }
            let unit = at;
            while at < text.len() && text[at].is_ascii_alphabetic() {
                at += 1;
            }
            let scale = match (text.len() - unit, at - unit) {
                (_, 2) if text[unit] == b'm' && text[unit + 1] == b's' => 1,
                (_, 1) => match text[unit] {
                    b's' => 1_000,
                    b'm' => 60_000,
                    b'h' => 3_600_000,
                    b'd' => 86_400_000,
                    _ => return None,
                },
                (0, 0) if digits == 0 => 1_000,
                _ => return None,
            };
            millis = match number.checked_mul(scale) {
                Some(part) => match millis.checked_add(part) {
                    Some(sum) => sum,
                    None => return None,
                },
                None => return None,
            };
        }
        if text.is_empty() { None } else { Some(Ttl::from_millis(millis)) }
    }

    /// Makes a ttl in seconds; zero means never. More than 584 million years count as so many.
    pub const fn from_secs(seconds: u64) -> Ttl {
        Ttl::from_millis(seconds.saturating_mul(1_000))
    }

    /// Converts seconds; `None` for more milliseconds than a `u64` holds.
    pub const fn try_from_secs(seconds: u64) -> Option<Ttl> {
        match seconds.checked_mul(1_000) {
            Some(millis) => Some(Ttl::from_millis(millis)),
            None => None,
        }
    }

    /// Returns the shorter of two, where `Off` is shorter than any time.
    #[must_use]
    pub fn cap(self, limit: Ttl) -> Ttl {
        match (self, limit) {
            (Ttl::Off, _) | (_, Ttl::Off) => Ttl::Off,
            (Ttl::Never, limit) => limit,
            (ttl, Ttl::Never) => ttl,
            (Ttl::For(one), Ttl::For(other)) => Ttl::For(one.min(other)),
        }
    }

    const fn from_millis(millis: u64) -> Ttl {
        if millis == 0 { Ttl::Never } else { Ttl::For(Duration::from_millis(millis)) }
    }
}

const fn matches(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ttl::For(duration) => f.write_str(&compact(*duration)),
            Ttl::Never => f.write_str("never"),
            Ttl::Off => f.write_str("off"),
        }
    }
}

/// Formats a length of time as a profile would write it: `1h30m`, `250ms`. What is below a millisecond is not shown.
pub fn compact(duration: Duration) -> String {
    const UNITS: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let (mut millis, mut text) = (duration.as_millis(), String::new());
    for (unit, length) in UNITS {
        if millis >= length {
            text.push_str(&format!("{}{unit}", millis / length));
            millis %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Warns once in a process that a zero in code means `never`. For files the warning names file and line.
fn advise_on_zero() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(target: "retainit::advisor", place = "code", "a ttl of 0 never expires: write \"never\"");
    });
}

/// Converts the argument of a `ttl` setter: `"5m"`, a whole number of seconds (zero means never), a [`Duration`] or a
/// [`Ttl`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no ttl",
    label = "not a time",
    note = "a ttl is a `Duration`, a text such as \"5m\", a whole number of seconds, or a `Ttl`"
)]
pub trait IntoTtl {
    /// Returns the ttl.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for unreadable text and negative numbers.
    fn into_ttl(self) -> Result<Ttl>;
}

impl IntoTtl for Ttl {
    fn into_ttl(self) -> Result<Ttl> {
        Ok(self)
    }
}

impl IntoTtl for &str {
    fn into_ttl(self) -> Result<Ttl> {
        Ttl::parse(self)
    }
}

impl IntoTtl for String {
    fn into_ttl(self) -> Result<Ttl> {
        Ttl::parse(&self)
    }
}

/// Parts of a millisecond count as a whole one; zero means never.
impl IntoTtl for Duration {
    fn into_ttl(self) -> Result<Ttl> {
        if self.is_zero() {
            advise_on_zero();
            return Ok(Ttl::Never);
        }
        Ok(Ttl::For(self))
    }
}

macro_rules! seconds {
    ($($number:ty)*) => {$(
        impl IntoTtl for $number {
            fn into_ttl(self) -> Result<Ttl> {
                let refuse = |why: &str| Error::new(ErrorKind::Config, format!("a ttl of {self} s {why}: {REMEDY}"));
                let seconds = u64::try_from(self).map_err(|_| refuse("lies in the past"))?;
                if seconds == 0 {
                    advise_on_zero();
                }
                Ttl::try_from_secs(seconds).ok_or_else(|| refuse("is too long"))
            }
        }
    )*};
}
seconds!(i32 i64 u32 u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, expected) in [
            ("5m", Some(Ttl::For(Duration::from_secs(300)))),
            ("300", Some(Ttl::For(Duration::from_secs(300)))),
            ("1h30m", Some(Ttl::For(Duration::from_secs(5_400)))),
            ("500ms", Some(Ttl::For(Duration::from_millis(500)))),
            ("1d", Some(Ttl::For(Duration::from_secs(86_400)))),
            ("0", Some(Ttl::Never)),
            ("0s", Some(Ttl::Never)),
            ("never", Some(Ttl::Never)),
            ("off", Some(Ttl::Off)),
            ("", None),
            ("-1", None),
            ("5 m", None),
            ("5q", None),
            ("m", None),
            ("1m30", None),
            ("1.5h", None),
            ("99999999999999999999s", None),
            // Each of these is one step beyond what fits: in the number, in its unit, in the sum.
            ("18446744073709551616ms", None),
            ("18446744073709551619s", None),
            ("18446744073709551615ms", Some(Ttl::For(Duration::from_millis(u64::MAX)))),
            ("18446744073709552s", None),
            ("307445734561826m", None),
            ("5124095576031h", None),
            ("213503982335d", None),
            ("18446744073709552", None),
            ("18446744073709551s616ms", None),
        ] {
            assert_eq!(Ttl::try_parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn shown_as_written() {
        for text in ["5m", "1h30m", "500ms", "1d", "1d1s", "never", "off"] {
            assert_eq!(Ttl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Ttl::from_secs(3_600).to_string(), "1h");
        assert_eq!(compact(Duration::from_micros(1)), "0s");
    }

    #[test]
    fn numbers_are_seconds_and_zero_is_never() {
        assert_eq!(300.into_ttl().unwrap(), Ttl::For(Duration::from_secs(300)));
        assert_eq!(0.into_ttl().unwrap(), Ttl::Never);
        assert_eq!((-1).into_ttl().unwrap_err().kind(), ErrorKind::Config);
        assert!(u64::MAX.into_ttl().unwrap_err().to_string().contains("too long"));
        assert_eq!(Ttl::from_secs(u64::MAX), Ttl::For(Duration::from_millis(u64::MAX)));
    }
}
