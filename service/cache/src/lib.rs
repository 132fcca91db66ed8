//! A two-tier cache for answers that must not be out of date: L1 in this process, L2 in Redis, invalidation by tags
//! across replicas.
//!
//! # Promise
//! A read that starts on a replica after that replica has processed an invalidation never returns data from before the
//! write behind it. [`TieredCache::invalidate`] returns after its own replica has processed it; the others follow by a
//! message. No lock and no comparison of two machines' clocks is part of the argument:
//!
//! - Every tag has a *generation* in Redis, a random nonce that an invalidation replaces. An L2 entry is valid only
//!   while all of its tags have the nonces that were current *before* it was loaded.
//! - Every tag has a *stamp* in each process, a counter that an invalidation raises. An L1 entry is served only while
//!   the counters are where they were before its load began. A load that races with an invalidation is dead on arrival.
//! - A client joins a running load only if that load began with the current stamps.
//! - While invalidations of other replicas may be missed, L1 is not served, and what it held is given up.
//!
//! Redis is never needed for an answer: if it fails, reads go to the loader, one at a time for each key.
//!
//! # Example
//! ```
//! use std::{convert::Infallible, time::Duration};
//! use tiered_cache::{Entry, Key, Policy, Tag, TieredCache, Tier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // With Redis: `.redis(RedisSettings::new("redis://127.0.0.1:6379"))`.
//! let cache = TieredCache::builder("shop").l1_capacity_bytes(16 << 20).build().await?;
//! let policy = Policy::ttl(Duration::from_mins(5));
//!
//! // The key holds every input that changes the answer; the tags name what it depends on.
//! let key = Key::new("product_page").part(42).part("en");
//! let tags = [Tag::new("product:42"), Tag::new("prices")];
//! let load = || async { Ok::<_, Infallible>(Some(Entry::new("{\"id\":42}", 1))) };
//!
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::Db);
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::L1);
//!
//! // After the transaction that changed the prices:
//! cache.invalidate(&[Tag::new("prices")]).await?;
//! assert_eq!(cache.get_or_load(&key, &tags, &policy, load).await?.tier, Tier::Db);
//! # cache.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What else it does
//! One of several replicas loads for all ([`Policy::with_fleet_lock`]); answers are loaded anew before they expire
//! ([`Policy::with_early_refresh`]); an aged answer is better than an error ([`Policy::with_hard_ttl`]); that there is
//! no such thing can be cached too ([`Policy::with_negative_ttl`]); a client that wrote elsewhere reads its own write
//! ([`TieredCache::get_or_load_after`]); a durable outbox is relayed ([`TieredCache::relay`]).
//!
//! With a [`Source`], answers are loaded in advance ([`TieredCache::warm`]) and compared with the database
//! ([`TieredCache::verify`], [`CacheBuilder::verify_every`], [`CacheBuilder::sampler`]). The protocol, its proof and
//! what it costs are in `docs/CACHE.md`.
//!
//! Values of a type of their own are read, kept and removed by key through [`TieredCache::typed`]; a loader may choose
//! the TTL of what it brings, or that it is not kept ([`Loaded`]).

/// The example of the README is run as a test.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod builder;
mod bypass;
mod cache;
mod clock;
mod context;
mod detach;
mod endpoints;
mod entry;
mod error;
mod fetch;
mod flight;
mod invalidate;
mod key;
mod l1;
mod l2;
mod loaded;
mod observer;
mod pattern;
mod place;
mod planned;
mod policy;
mod read;
mod relay;
mod source;
mod stamps;
mod state;
mod stats;
mod subscribe;
mod sync;
mod tag;
#[cfg(test)]
mod tests;
mod typed;
mod upkeep;
mod verify;
mod warm;

#[cfg(feature = "json")]
pub use crate::typed::Json;
pub use crate::{
    builder::CacheBuilder,
    cache::TieredCache,
    clock::{Clock, SystemClock},
    entry::{Entry, Flushed, Invalidated, Served, Tier},
    error::{BuildError, InvalidateError, LoadError, RedisFailure},
    key::Key,
    l2::RedisSettings,
    loaded::Loaded,
    observer::Observer,
    place::{NoPlace, Place},
    policy::{Policy, Strategy},
    relay::{Outbox, OutboxRow},
    source::{Source, SourceError},
    stats::Stats,
    tag::Tag,
    typed::{Codec, CodecError, Typed, TypedError},
    verify::Verified,
    warm::Warmed,
};
