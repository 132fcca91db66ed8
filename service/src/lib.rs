//! The reference service: a cached auto-insurance backend.
//!
//! Rooms, from the door inwards: [`boot`] wires the parts of [`app`] by [`config`] and serves [`router`]; [`routes`]
//! turn HTTP into calls of [`usecases`], the only room that joins the cache, the [`store`] and the [`events`];
//! [`domain`] is pure. All SQL stands under [`store`] (with [`seed`] filling it); [`auth`] knows who may ask.

pub mod app;
pub mod auth;
pub mod boot;
pub mod codec;
pub mod config;
pub mod domain;
mod encoding;
pub mod errors;
pub mod events;
pub mod faults;
pub mod guard;
pub mod health;
pub mod live;
pub mod metrics;
mod nearest;
pub mod openapi;
pub mod router;
pub mod routes;
pub mod seed;
pub mod server;
pub mod shares;
pub mod shutdown;
pub mod store;
pub mod usecases;

/// Crate version and git revision, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SERVICE_GIT_REVISION"), ")");
