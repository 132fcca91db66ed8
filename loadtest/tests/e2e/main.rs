//! `loadtest` end to end: the real binary against real services.
//!
//! What depends on speed, or on the reference service, runs the release binaries (`LOADTEST_BIN_DIR`); everything
//! else the binary that cargo builds with the tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod battery;
mod begin;
mod capacity;
mod ci;
mod compare;
mod consistency;
mod foreign;
mod gate;
mod ground_truth;
mod history;
mod https;
mod judge;
mod live;
mod lost;
mod merge;
mod names;
mod run;
mod services;
mod support;
mod telemetry;
