//! One measurement, of a single subject or of two in alternation: its plan, its rounds, its judgement, its files.

pub(crate) mod capacity;
pub(crate) mod judge;
pub(crate) mod output;
mod plan;
mod round;
pub(crate) mod run;

pub(crate) use plan::{Plan, command_line};
