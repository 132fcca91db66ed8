//! One measurement, of a single subject or of two in alternation: its plan, its rounds, its judgement, its files.

mod block;
pub(crate) mod capacity;
mod gate;
pub(crate) mod judge;
pub(crate) mod output;
mod plan;
mod round;
pub(crate) mod run;

pub(crate) use plan::{Plan, Purpose, command_line};
