//! The tests of the testkit: its byte backend, and that its suites find what they are there to find.

mod bytes;
mod faults;
mod map;
mod object;
