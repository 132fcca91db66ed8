//! Capacity: which rate a subject holds within its target, and what more of something would bring (STATISTICS section 5).
//!
//! What belongs here: which load to try next and what the answers mean ([`search`]), and the scalability law with its
//! limits ([`usl`]). What does not: driving load, and the steady-state test of a step (`steady`).

pub mod search;
pub mod usl;
