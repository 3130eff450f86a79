use retainit_plugin::erased_serde::{Deserializer, Serialize};
use retainit_plugin::{ReadValue, Result, Serializer, register_serializer};

use super::{unread, unwritten};

/// JSON: text that people and other languages read. Floats come back to the last bit; NaN and the infinities have no
/// form in it, so values that hold them are refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Serializer for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn keeps_non_finite(&self) -> bool {
        false
    }

    fn serialize(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, value).map_err(|error| unwritten("JSON", error))
    }

    fn deserialize(&self, input: &[u8], read: &mut ReadValue<'_>) -> Result<()> {
        let mut input = serde_json::Deserializer::from_slice(input);
        read(&mut <dyn Deserializer>::erase(&mut input)).map_err(|error| unread("JSON", error))?;
        input.end().map_err(|error| unread("JSON", error))
    }
}

register_serializer!("json", Json);
