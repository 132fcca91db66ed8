//! The load path against servers: behaviours good and bad over raw sockets, plain and encrypted, and servers that
//! nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod behaviours;
mod frames;
mod golang;
mod kit;
mod nghttp2;
mod nginx;
mod pki;
mod requests;
