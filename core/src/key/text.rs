//! The text of canonical bytes, and the escapes that keep it injective.

use std::fmt::{Display, Write};

use super::canon::{
    BYTES, END, FALSE, FLOAT, LIST, MAP, NEGATIVE, NONE, SOME, TRUE, UINT, VARIANT, VARIANT_OF, WIDE_NEGATIVE,
    WIDE_UINT,
};
use super::sink::{LONG_TEXT, SHORT, SHORT_TEXT};

/// Longer arguments appear as their digest.
const LONGEST: usize = 64;

/// The text of canonical bytes: `42`, `"x"`, `(1,"x")`, `~` for none.
pub(crate) fn canonical(bytes: &[u8], out: &mut String) {
    let (begin, mut rest, mut count) = (out.len(), bytes, 0);
    out.push('(');
    while !rest.is_empty() && rest[0] != END {
        if count > 0 {
            out.push(',');
        }
        rest = value(rest, out);
        count += 1;
    }
    if count == 1 {
        out.remove(begin);
    } else {
        out.push(')');
    }
}

/// The same, alone.
pub(super) fn canonical_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    canonical(bytes, &mut out);
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

/// Puts `#` and half of a digest in the place of arguments too long for a key, and gives the whole digest; empty for
/// others. The arguments are what stands from `begin` on.
pub(super) fn shorten(out: &mut String, begin: usize) -> Vec<u8> {
    let arguments = &out[begin..];
    if arguments.len() <= LONGEST {
        return Vec::new();
    }
    let full = blake3::hash(arguments.as_bytes()).as_bytes().to_vec();
    out.truncate(begin);
    push_digest(&full[..16], out);
    full
}

/// `#` and base32 without padding, in lower case.
pub(crate) fn push_digest(digest: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    out.push('#');
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
            let (float, rest) = word(rest);
            write(out, format_args!("{:?}", f64::from_bits(float)), rest)
        }
        WIDE_UINT => {
            let (number, rest) = wide(rest);
            write(out, number, rest)
        }
        WIDE_NEGATIVE => {
            let (number, rest) = wide(rest);
            write(out, !(number as i128), rest)
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
            let (word, rest) = word(rest);
            push(out, itoa::Buffer::new().format(word), rest)
        }
        NEGATIVE => {
            let (word, rest) = word(rest);
            write(out, !i128::from(word), rest)
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
        LONG_TEXT => word(rest),
        _ if tag & SHORT_TEXT != 0 => (u64::from(tag) & SHORT as u64, rest),
        _ => return None,
    };
    Some(rest.split_at(rest.len().min(len as usize)))
}

fn bytes_in_hex<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let (len, rest) = word(rest);
    let (bytes, rest) = rest.split_at(rest.len().min(len as usize));
    out.push('\'');
    for byte in bytes {
        write(out, format_args!("{byte:02x}"), rest);
    }
    push(out, "'", rest)
}

fn push<'b>(out: &mut String, text: &str, rest: &'b [u8]) -> &'b [u8] {
    out.push_str(text);
    rest
}

fn write<'b>(out: &mut String, shown: impl Display, rest: &'b [u8]) -> &'b [u8] {
    // Writing to a string cannot fail.
    let written = write!(out, "{shown}");
    debug_assert!(written.is_ok());
    rest
}

fn word(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(word, rest)| (u64::from_le_bytes(*word), rest))
}

fn wide(bytes: &[u8]) -> (u128, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(wide, rest)| (u128::from_le_bytes(*wide), rest))
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
