//! Pure measurement: histograms, statistics, verdicts and the record format.
//!
//! What belongs here: everything that turns counted events into figures and judgements. What does not: tokio, sockets,
//! processes, and any I/O beyond reading and writing records (invariant 2 of docs/ARCHITECTURE.md).
//!
//! "STATISTICS section N" in these modules is docs/STATISTICS.md: the rule, its reason and its source.
//!
//! The way of a figure: [`recorder`] counts -> [`record::Round`] -> [`judge`], which takes [`summary`], [`compare`],
//! [`gate`], [`targets`], checks and the verdict in their order -> [`record::Record`], which [`store`] keeps on disk.

pub mod baseline;
mod batches;
pub mod capacity;
mod checks;
pub mod compare;
pub mod disturbance;
pub mod figures;
pub mod gate;
pub mod histogram;
pub mod history;
pub mod hlog;
pub mod judge;
pub mod limits;
pub mod merge;
pub mod metrics;
pub mod percentile;
pub mod record;
pub mod recorder;
pub mod rounds;
pub mod stats;
pub mod steady;
pub mod store;
pub mod summary;
pub mod targets;
mod verdict;

#[cfg(test)]
mod testing;
