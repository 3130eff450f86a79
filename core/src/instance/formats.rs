//! Chooses the serializer that writes values into a store, and finds the one that reads them.

use retainit_plugin::{ErrorKind, Result, caught};

use super::Retainit;
use crate::engine::Store;
use crate::value::{Format, Types};

impl Retainit {
    /// Returns the serializer that is named for values in `store`; `None` where the type of the value decides.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for an unknown name and for values that the serializer cannot hold.
    pub(crate) fn chosen_format(
        &self,
        function: &str,
        store: &Store,
        name: Option<&str>,
        types: Option<fn() -> Types>,
    ) -> Result<Option<Format>> {
        let Some(name) = name.filter(|_| store.serializes()) else { return Ok(None) };
        let check = || {
            let format = self.registry().named_format(name)?;
            types.map_or(Ok(()), |types| format.takes(&types()))?;
            Ok(Some(format))
        };
        caught(ErrorKind::Config, "asking the serializer", check)
            .flatten()
            .map_err(|error| error.with_context("function", function))
    }
}
