//! Text of canonical bytes, and the escapes that make it injective.

use std::fmt::{Display, Write};

use super::token::{
    BYTES, CHAR, END, FALSE, FLOAT, LIST, MAP, NEGATIVE, NEWTYPE_STRUCT, NONE, SOME, STRUCT, TRUE, TUPLE_STRUCT, UINT,
    UNIT, UNIT_STRUCT, VARIANT, WIDE_NEGATIVE, WIDE_UINT, split_text, split_word,
};

/// Limit on the text of arguments; longer ones appear as their digest.
const LONGEST: usize = 64;

/// Writes the text of canonical bytes: `42`, `"x"`, `(1,"x")`, `~` for none, `Color.Red`, `UserId(5)`.
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

/// Returns the text of canonical bytes as a string of its own.
pub(super) fn canonical_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    canonical(bytes, &mut out);
    out
}

/// Splits canonical bytes into the values at the top.
pub(super) fn elements(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest, mut text) = (Vec::new(), bytes, String::new());
    while !rest.is_empty() {
        text.clear();
        let after = value(rest, &mut text);
        found.push(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    found
}

/// Fills a template with the texts of its values.
pub(crate) fn fill(literals: &[&str], between: &str, values: &[String]) -> String {
    let mut out = String::new();
    escape_literal(literals.first().unwrap_or(&""), &mut out);
    for (value, after) in values.iter().zip(&literals[1..]) {
        escape_value(value, between, &mut out);
        escape_literal(after, &mut out);
    }
    // A key that begins with `#` is a digest.
    if out.starts_with('#') {
        out.replace_range(..1, "%23");
    }
    out
}

/// Replaces arguments too long for a key by `#` and half of a digest, and returns the whole digest; empty for others.
/// The arguments begin at `begin`.
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

/// Writes `#` and the digest in base32 without padding, in lower case.
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

/// Escapes characters with a meaning in keys and patterns.
pub(crate) fn escape(text: &str, out: &mut String) {
    escape_with(text, "%:/=@*?[]{}", out);
}

/// Escapes a template's literal: it stays as written except for characters that patterns and clusters interpret.
pub(super) fn escape_literal(text: &str, out: &mut String) {
    escape_with(text, "%*?[]{}", out);
}

/// Escapes a value of a template whose placeholders are separated by `between`.
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

/// Writes one value and returns the bytes behind it. The bytes come from `Canon` alone, so they are well-formed.
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
            let (float, rest) = split_word(rest);
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
        UNIT => push(out, "()", rest),
        CHAR => character(rest, out),
        LIST => list(rest, out, ""),
        MAP => map(rest, out),
        UNIT_STRUCT..=STRUCT => {
            let rest = name(rest, out);
            content(tag, rest, out)
        }
        VARIANT_UNIT..=VARIANT_STRUCT => {
            let rest = name(rest, out);
            out.push('.');
            let rest = name(rest, out);
            if tag == VARIANT_UNIT { rest } else { content(tag - VARIANT, rest, out) }
        }
        UINT => {
            let (word, rest) = split_word(rest);
            push(out, itoa::Buffer::new().format(word), rest)
        }
        NEGATIVE => {
            let (word, rest) = split_word(rest);
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

const VARIANT_UNIT: u8 = UNIT_STRUCT | VARIANT;
const VARIANT_STRUCT: u8 = STRUCT | VARIANT;

/// Writes the content behind a name: `()` for nothing, `(5)` for one value, `(1,2)` for elements, of which a single one
/// has a comma behind it, `("a"=1)` for fields.
fn content<'b>(tag: u8, rest: &'b [u8], out: &mut String) -> &'b [u8] {
    match tag {
        NEWTYPE_STRUCT => {
            out.push('(');
            let rest = value(rest, out);
            push(out, ")", rest)
        }
        TUPLE_STRUCT => list(rest, out, ","),
        STRUCT => map(rest, out),
        _ => push(out, "()", rest),
    }
}

/// Writes a character in `'`. Bytes have the same quotes, and an even number of digits in them.
fn character<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let Some((code, rest)) = rest.split_first_chunk() else { return rest };
    let shown = char::from_u32(u32::from_le_bytes(*code)).unwrap_or_default();
    out.push('\'');
    escape_where(shown.encode_utf8(&mut [0; 4]), |c| "%:/=@*?[]{}\"'".contains(c), out);
    push(out, "'", rest)
}

fn bytes_in_hex<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let (len, rest) = split_word(rest);
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

fn wide(bytes: &[u8]) -> (u128, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(wide, rest)| (u128::from_le_bytes(*wide), rest))
}

/// Writes a list. An empty one reads `(,)`, because `()` is a unit. `single` goes behind the element of a list of one.
fn list<'b>(mut rest: &'b [u8], out: &mut String, single: &str) -> &'b [u8] {
    out.push('(');
    let mut count = 0;
    while !rest.is_empty() && rest[0] != END {
        if count > 0 {
            out.push(',');
        }
        count += 1;
        rest = value(rest, out);
    }
    out.push_str(match count {
        0 => ",",
        1 => single,
        _ => "",
    });
    push(out, ")", rest.get(1..).unwrap_or_default())
}

fn map<'b>(mut rest: &'b [u8], out: &mut String) -> &'b [u8] {
    // An empty map reads `(=)`, because `()` is a unit.
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

/// Writes the name of a type or variant. Its first character is escaped if it is no letter, so that no other value
/// begins the same; an empty name is a `%` that escapes nothing.
fn name<'b>(rest: &'b [u8], out: &mut String) -> &'b [u8] {
    let Some((text, rest)) = rest.split_first().and_then(|(tag, rest)| split_text(*tag, rest)) else { return rest };
    let text = String::from_utf8_lossy(text);
    let mut chars = text.chars();
    if !text.starts_with(char::is_alphabetic) {
        match chars.next() {
            Some(first) => first.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| percent(byte, out)),
            None => out.push('%'),
        }
    }
    escape_where(chars.as_str(), |c| "%:/=@*?[]{}\"'(),~+.".contains(c), out);
    rest
}

/// Reverts [`escape`]. Text that is no escape stays as it is.
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
