//! Capacity: which rate a subject holds within its target, and what more of something would bring (STATISTICS section
//! 5).
//!
//! What belongs here: what a step says about the targets ([`step`]), which load to try next ([`search`]), and the
//! scalability law with its limits ([`usl`]). What does not: driving load, and the steady-state test of a step
//! (`steady`).

pub mod search;
pub mod step;
pub mod usl;
