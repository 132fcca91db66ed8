//! The harness: drives load, probes the system, judges.
//!
//! What belongs here: everything that touches processes, servers and the terminal while a run goes on. What does not:
//! the load itself (`load`), statistics (`measure`), drawing (`reports`), the reading of workloads (`scenarios`), and
//! any knowledge of a service: what is measured is described by its subject file (invariant 1).

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod address;
mod arguments;
mod canary;
mod cli;
mod commands;
mod compare;
mod error;
mod import;
mod interrupt;
mod launchpad;
mod limits;
mod machine;
mod probes;
mod progress;
mod project;
mod request;
mod say;
mod servers;
mod subject;

pub use commands::run;
