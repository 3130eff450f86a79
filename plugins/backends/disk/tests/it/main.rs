//! Tests the promises of the disk backend beyond the contract of all byte backends.

mod actor;
mod bounds;
mod child;
mod common;
mod config;
mod damage;
mod events;
mod fences;
mod flips;
mod folder;
mod foreign;
mod lingering;
mod locks;
mod moved;
mod oracle;
mod processes;
mod sweeps;
