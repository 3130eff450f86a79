//! Retained functions on real Redis servers: through outages of every kind, and between instances.

mod chaos;
mod shared;
