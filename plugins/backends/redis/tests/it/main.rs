//! The Redis backend beside real servers: what it sends, what it says, what it survives.

mod connections;
mod counted;
mod large;
mod moved;
mod process;
mod refused;
