//! The store and the seed on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod cache_outbox;
mod inbox;
mod outbox;
mod paging;
mod parity;
mod plans;
mod seed;
mod statements;
mod support;
mod users;
mod writes;
