//! The text of canonical bytes, and the escapes that keep it injective.

use std::fmt::Write;

use super::canon::{
    BYTES, END, FALSE, FLOAT, LIST, MAP, NEGATIVE, NONE, SOME, TRUE, UINT, VARIANT, VARIANT_OF, WIDE_NEGATIVE,
    WIDE_UINT,
};
use super::sink::{LONG_TEXT, SHORT, SHORT_TEXT};

/// Longer arguments appear as their digest.
const LONGEST: usize = 64;

/// The text of canonical bytes: `42`, `"x"`, `(1,"x")`, `~` for none.
pub(crate) fn canonical(bytes: &[u8]) -> String {
    let (mut out, mut rest, mut count) = (String::from("("), bytes, 0);
    while !rest.is_empty() && rest[0] != END {
        if count > 0 {
            out.push(',');
        }
        rest = value(rest, &mut out);
        count += 1;
    }
    if count == 1 {
        out.remove(0);
    } else {
        out.push(')');
    }
    out
}

/// The texts of the values at the top, strings as they are.
pub(super) fn elements(bytes: &[u8]) -> Vec<String> {
    let (mut texts, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() && rest[0] != END {
        let mut text = String::new();
        let after = value(rest, &mut text);
        let one = &rest[..rest.len() - after.len()];
        texts.push(super::plain_string(one).map_or(text, str::to_owned));
        rest = after;
    }
    texts
}

/// A template with the texts of its values in it.
pub(crate) fn fill(literals: &[&str], between: &str, values: &[String]) -> String {
    let mut out = String::new();
    escape_literal(literals.first().unwrap_or(&""), &mut out);
    for (value, after) in values.iter().zip(&literals[1..]) {
        escape_value(value, between, &mut out);
        escape_literal(after, &mut out);
    }
    out
}

/// What stands for arguments in a key: the text itself, or `#` and a digest of it.
pub(crate) fn arguments(text: String) -> String {
    if text.len() <= LONGEST {
        return text;
    }
    digest_text(&full_digest(&text)[..16])
}

/// The digest of arguments too long for a key; empty for others.
pub(super) fn full_digest(text: &str) -> Vec<u8> {
    if text.len() <= LONGEST { Vec::new() } else { blake3::hash(text.as_bytes()).as_bytes().to_vec() }
}

/// `#` and base32 without padding, in lower case.
pub(crate) fn digest_text(digest: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut out = String::from("#");
    let (mut word, mut bits) = (0u32, 0);
    for byte in digest {
        word = word << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(ALPHABET[(word >> bits) as usize & 31] as char);
        }
    }
    if bits > 0 {
        out.push(ALPHABET[(word << (5 - bits)) as usize & 31] as char);
    }
    out
}

/// Escapes what has a meaning in keys and patterns.
pub(crate) fn escape(text: &str, out: &mut String) {
    escape_with(text, "%:/=@*?[]{}", out);
}

/// Escapes a template's literal: it stays as written but for what patterns and clusters would read.
pub(super) fn escape_literal(text: &str, out: &mut String) {
    escape_with(text, "%*?[]{}", out);
}

/// Escapes a value of a template whose placeholders stand apart by `between`.
pub(super) fn escape_value(text: &str, between: &str, out: &mut String) {
    escape_where(text, |c| "%:/=@*?[]{}".contains(c) || between.contains(c), out);
}

fn escape_with(text: &str, special: &str, out: &mut String) {
    escape_where(text, |c| special.contains(c), out);
}

fn escape_where(text: &str, special: impl Fn(char) -> bool, out: &mut String) {
    for c in text.chars() {
        if special(c) || c.is_control() || c.is_whitespace() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                percent(byte, out);
            }
        } else {
            out.push(c);
        }
    }
}

fn percent(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(HEX[usize::from(byte >> 4)] as char);
    out.push(HEX[usize::from(byte & 15)] as char);
}

/// Writes one value and gives what follows it. Only our own `Canon` writes these bytes, so they are well-formed.
fn value<'b>(bytes: &'b [u8], out: &mut String) -> &'b [u8] {
    let (tag, rest) = bytes.split_first().map_or((END, bytes), |(tag, rest)| (*tag, rest));
    match tag {
        NONE => push(out, "~", rest),
        SOME => {
            out.push('+');
            value(rest, out)
        }
        FALSE => push(out, "false", rest),
        TRUE => push(out, "true", rest),
        FLOAT => {
            let (float, rest) = number(rest, 8);
            push(out, &format!("{:?}", f64::from_bits(float as u64)), rest)
        }
        WIDE_UINT => {
            let (number, rest) = number(rest, 16);
            push(out, &number.to_string(), rest)
        }
        WIDE_NEGATIVE => {
            let (number, rest) = number(rest, 16);
            push(out, &(!(number as i128)).to_string(), rest)
        }
        LIST => list(rest, out),
        MAP => map(rest, out),
        VARIANT => name(rest, out),
        VARIANT_OF => {
            let rest = name(rest, out);
            out.push('(');
            let rest = value(rest, out);
            push(out, ")", rest)
        }
        UINT => {
            let (word, rest) = number(rest, 8);
            push(out, &word.to_string(), rest)
        }
        NEGATIVE => {
            let (word, rest) = number(rest, 8);
            push(out, &(!(word as i128)).to_string(), rest)
        }
        BYTES => bytes_in_hex(rest, out),
        _ => match split_text(tag, rest) {
            None => rest,
            Some((text, rest)) => {
                out.push('"');
                escape_where(&String::from_utf8_lossy(text), |c| "%:/=@*?[]{}\"".contains(c), out);
                push(out, "\"", rest)
            }
        },
    }
}

/// Text, told by its tag, and what follows it.
pub(super) fn split_text(tag: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match tag {
        LONG_TEXT => number(rest, 8),
        _ if tag & SHORT_TEXT != 0 => (u128::from(tag) & SHORT as u128, rest),
        _ => return None,
    };
    Some(rest.split_at(rest.len().min(len as usize)))
}

fn bytes_in_hex<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let (len, rest) = number(rest, 8);
    let (bytes, rest) = rest.split_at(rest.len().min(len as usize));
    out.push('\'');
    for byte in bytes {
        // Writing to a string cannot fail.
        let written = write!(out, "{byte:02x}");
        debug_assert!(written.is_ok());
    }
    push(out, "'", rest)
}

fn push<'b>(out: &mut String, text: &str, rest: &'b [u8]) -> &'b [u8] {
    out.push_str(text);
    rest
}

fn number(bytes: &[u8], len: usize) -> (u128, &[u8]) {
    let (bytes, rest) = bytes.split_at(bytes.len().min(len));
    (bytes.iter().rev().fold(0, |word, byte| word << 8 | u128::from(*byte)), rest)
}

fn list<'b>(mut rest: &'b [u8], out: &mut String) -> &'b [u8] {
    out.push('(');
    let mut first = true;
    while !rest.is_empty() && rest[0] != END {
        if !first {
            out.push(',');
        }
        first = false;
        rest = value(rest, out);
    }
    push(out, ")", rest.get(1..).unwrap_or_default())
}

fn map<'b>(mut rest: &'b [u8], out: &mut String) -> &'b [u8] {
    // An empty map reads `(=)`, for `()` is an empty list.
    out.push('(');
    if rest.first() == Some(&END) {
        out.push('=');
    }
    let mut first = true;
    while !rest.is_empty() && rest[0] != END {
        if !first {
            out.push(',');
        }
        first = false;
        rest = value(rest, out);
        out.push('=');
        rest = value(rest, out);
    }
    push(out, ")", rest.get(1..).unwrap_or_default())
}

/// A variant's name. One that could be read as something else has its first character escaped.
fn name<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let Some((text, rest)) = rest.split_first().and_then(|(tag, rest)| split_text(*tag, rest)) else { return rest };
    let text = String::from_utf8_lossy(text);
    let plain = text.starts_with(char::is_alphabetic) && !matches!(&*text, "true" | "false" | "NaN" | "inf");
    let mut chars = text.chars();
    if !plain && let Some(first) = chars.next() {
        first.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| percent(byte, out));
    }
    escape_where(chars.as_str(), |c| "%:/=@*?[]{}\"'(),~+".contains(c), out);
    rest
}

/// Undoes [`escape`]. What is not an escape stays as it is.
pub(crate) fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let escaped =
            after.first_chunk::<2>().and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match escaped.filter(|_| byte == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
