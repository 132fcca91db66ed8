//! The store and the seed on a real Postgres.

mod outbox;
mod parity;
mod seed;
mod statements;
mod support;
mod users;
mod writes;
