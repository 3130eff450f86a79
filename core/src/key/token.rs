//! Tokens of canonical bytes.
//!
//! | tag | content |

use super::sink::{LONG_TEXT, SHORT, SHORT_TEXT, Sink};

pub(super) const NONE: u8 = 0x00;
pub(super) const SOME: u8 = 0x01;
pub(super) const FALSE: u8 = 0x02;
pub(super) const TRUE: u8 = 0x03;
pub(super) const UNIT: u8 = 0x04;
pub(super) const FLOAT: u8 = 0x05;
pub(super) const CHAR: u8 = 0x06;
pub(super) const UINT: u8 = 0x10;
pub(super) const NEGATIVE: u8 = 0x11;
pub(super) const WIDE_UINT: u8 = 0x12;
pub(super) const WIDE_NEGATIVE: u8 = 0x13;
pub(super) const BYTES: u8 = 0x40;
pub(super) const LIST: u8 = 0x50;
pub(super) const END: u8 = 0x51;
pub(super) const MAP: u8 = 0x52;
pub(super) const UNIT_STRUCT: u8 = 0x60;
pub(super) const NEWTYPE_STRUCT: u8 = 0x61;
pub(super) const TUPLE_STRUCT: u8 = 0x62;
pub(super) const STRUCT: u8 = 0x63;
/// Bit that makes the tag of a struct that of a variant with the same content.
pub(super) const VARIANT: u8 = 0x08;

/// Feeds canonical bytes to another sink in the calls that wrote them: a hash depends on where each call ends.
pub(super) fn replay(mut bytes: &[u8], sink: &mut impl Sink) {
    while let [tag, rest @ ..] = bytes {
        bytes = match *tag {
            UINT | NEGATIVE | FLOAT => {
                let (word, rest) = split_word(rest);
                sink.word(*tag, word);
                rest
            }
            BYTES => {
                let (len, rest) = split_word(rest);
                sink.word(BYTES, len);
                pass(rest, len, sink)
            }
            WIDE_UINT | WIDE_NEGATIVE => {
                sink.tag(*tag);
                pass(rest, 16, sink)
            }
            CHAR => pass(bytes, 5, sink),
            tag => match split_text(tag, rest) {
                Some((text, rest)) => {
                    sink.text(text);
                    rest
                }
                None => {
                    sink.tag(tag);
                    rest
                }
            },
        }
    }
}

fn pass<'b>(bytes: &'b [u8], len: u64, sink: &mut impl Sink) -> &'b [u8] {
    let (these, rest) = bytes.split_at(bytes.len().min(len as usize));
    sink.put(these);
    rest
}

/// Splits off a word.
pub(super) fn split_word(bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk().map_or((0, &[]), |(word, rest)| (u64::from_le_bytes(*word), rest))
}

/// Splits off text, if the tag is one of text.
pub(super) fn split_text(tag: u8, rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = match tag {
        LONG_TEXT => split_word(rest),
        _ if tag & SHORT_TEXT != 0 => (u64::from(tag) & SHORT as u64, rest),
        _ => return None,
    };
    Some(rest.split_at(rest.len().min(len as usize)))
}
