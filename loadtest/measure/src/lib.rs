//! Pure measurement: histograms, statistics, verdicts and the record format.
//!
//! What belongs here: everything that turns counted events into figures and judgements. What does not: tokio, sockets,
//! processes, and any I/O beyond reading and writing records (invariant 2 of docs/ARCHITECTURE.md).

pub mod record;
