//! The rules of the business as pure functions and plain values: no I/O, no clock, no SQL, no HTTP.
//!
//! The names of things, their validity and their rating belong here; storage and requests do not.

#[macro_use]
mod text_enum;

pub mod claims;
pub mod drivers;
pub mod events;
pub mod ids;
pub mod money;
pub mod policies;
pub mod rating;
pub mod regions;
pub mod risk;
pub mod trips;
pub mod vehicles;

pub use text_enum::UnknownText;
