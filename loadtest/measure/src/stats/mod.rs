//! The estimators of docs/STATISTICS.md as functions of plain numbers.
//!
//! What belongs here: formulas that know neither rounds nor endpoints, so that the closed comparison and the gate share
//! them. What does not: which numbers enter (`compare`, `percentile`, `targets`) and what follows from a result.

pub mod cluster;
pub mod hodges_lehmann;
pub mod power;
pub mod signflip;
pub mod student;
pub mod unpaired;
pub mod wilcoxon;

/// Arithmetic mean; 0 of nothing.
pub fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
