//! The stack against real servers: each test starts its own on free ports, in a directory of its own. A server that is
//! not installed fails the test with the command that installs it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected fails, and so do its helpers"
)]

mod external;
mod kafka;
mod native;
mod nothing_left;
mod support;
