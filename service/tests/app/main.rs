//! The service from outside, on real Postgres, Redis and Kafka. One executable for all of it: linking the service once
//! is what takes the time.

mod auth;
mod cache_admin;
mod conformance;
mod contract;
mod crash;
mod deployment;
mod events;
mod fairness;
mod guard;
mod health;
mod http;
mod kills;
mod live;
mod metrics;
mod openapi;
mod operations;
mod outage;
mod poolers;
mod process;
mod reads;
mod refusals;
mod shutdown;
mod statements;
mod support;
mod writes;
