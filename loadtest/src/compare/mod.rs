//! One comparison: its plan, its rounds, its judgement, its files.

pub(crate) mod judge;
pub(crate) mod output;
mod plan;
mod round;
pub(crate) mod run;

pub(crate) use plan::Plan;
