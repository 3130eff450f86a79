use std::fmt;

use crate::Error;

/// Whether the backends answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Health {
    /// Every backend answers.
    Healthy,
    /// Some do not; calls go on without them.
    Degraded {
        /// The backends that do not answer, with why.
        failing: Vec<(String, Error)>,
    },
}

impl Health {
    /// Whether every backend answers.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Health::Healthy)
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Healthy => f.write_str("healthy"),
            Health::Degraded { failing } => {
                f.write_str("degraded")?;
                failing.iter().try_for_each(|(backend, error)| write!(f, "; {backend}: {error}"))
            }
        }
    }
}
