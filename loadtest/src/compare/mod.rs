//! One measurement, of a single subject or of several in alternation: its plan, its rounds, its judgement, its files.

mod block;
pub(crate) mod capacity;
mod display;
mod gate;
pub(crate) mod output;
mod plan;
pub(crate) mod records;
mod round;
pub(crate) mod run;
mod streams;
pub(crate) mod topics;

pub(crate) use plan::{Plan, Purpose, command_line};

/// Of the phases of a round: warm-up, measured phase, drain.
const MEASURED: usize = 1;
