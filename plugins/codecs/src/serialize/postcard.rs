use std::io;

use retainit_plugin::erased_serde::{Deserializer, Serialize};
use retainit_plugin::{ReadValue, Result, Serializer, register_serializer};

use super::{unread, unwritten};

/// postcard: the smallest form and the fastest, without names. A changed type is a miss, so every deployment that
/// changes one begins with an empty cache; types that let the format decide what comes next cannot use it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl Serializer for Postcard {
    fn name(&self) -> &'static str {
        "postcard"
    }

    fn is_positional(&self) -> bool {
        true
    }

    fn serialize(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<()> {
        *out = postcard::to_extend(value, std::mem::take(out)).map_err(|error| unwritten("postcard", error))?;
        Ok(())
    }

    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
        let mut input = postcard::Deserializer::from_bytes(input);
        read(&mut <dyn Deserializer>::erase(&mut input)).map_err(|error| unread("postcard", error))?;
        match input.finalize().map_err(|error| unread("postcard", error))? {
            [] => Ok(()),
            rest => Err(unread("postcard", io::Error::other(format!("{} bytes are left over", rest.len())))),
        }
    }
}

register_serializer!("postcard", Postcard);
