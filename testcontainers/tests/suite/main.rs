//! The stack against real servers: each test starts its own on free ports, in a directory of its own. A server that is
//! not installed fails the test with the command that installs it.
//!
//! The containers need an engine with images: `cargo xtask test` starts one where there is none. Where that cannot be,
//! `STACK_TEST_NO_CONTAINERS=1` (`cargo xtask test --no-containers`) leaves them out, loudly.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected fails, and so do its helpers"
)]

mod containers;
mod external;
mod kafka;
mod killed;
mod native;
mod nothing_left;
mod providers;
mod proxy;
mod support;
mod trouble;
