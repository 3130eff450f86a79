//! What the disk backend promises beyond the contract of all byte backends.

mod bounds;
mod child;
mod common;
mod config;
mod damage;
mod fences;
mod folder;
mod locks;
mod processes;
mod sweeps;
