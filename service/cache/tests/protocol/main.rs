//! The cache against a real Redis server, which each test starts for itself. A server that cannot be started fails the
//! test.

mod clock;
mod faults;
mod flights;
mod invalidation;
mod network;
mod operations;
mod outage;
mod outbox;
#[path = "../kit/redis.rs"]
mod redis_server;
mod refinements;
mod refusals;
mod support;
mod tiers;
#[cfg(feature = "json")]
mod typed;
