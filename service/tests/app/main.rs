//! The service from outside, on real Postgres, Redis and Kafka. One executable for all of it: linking the service once is
//! what takes the time.

mod auth;
mod events;
mod health;
mod metrics;
mod process;
mod reads;
mod refusals;
mod shutdown;
mod support;
mod writes;
