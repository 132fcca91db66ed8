//! The load path: users, the journeys they walk, the connection they walk on, and the clock that times them.
//!
//! What belongs here: everything between a workload and recorded times. What does not: what is done with the times
//! (`measure`), and anything that talks to the subject outside the load (`probes`, `subject`).

mod attack;
mod clock;
mod connection;
mod errors;
mod globals;
mod user;

pub(crate) use attack::{Attack, LoadReport, Timeline};
pub(crate) use globals::fetch_globals;
