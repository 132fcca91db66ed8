//! The cache against a real Redis server, which each test starts for itself. A server that cannot be started fails the
//! test.

mod flights;
mod invalidation;
mod outage;
mod support;
mod tiers;
