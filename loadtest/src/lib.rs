//! The harness: drives load, probes the system, judges.
//!
//! What belongs here: everything that touches processes, servers and the terminal while a run goes on. What does not:
//! the load itself (`load`), statistics (`measure`), drawing (`reports`), the reading of workloads (`scenarios`), and
//! any knowledge of the reference service beyond its binary, its environment variables and its HTTP interface
//! (invariant 1).

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod canary;
mod cli;
mod commands;
mod compare;
mod error;
mod interrupt;
mod launchpad;
mod limits;
mod machine;
mod probes;
mod progress;
mod say;
mod subject;

pub use commands::run;
