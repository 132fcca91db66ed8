//! The rules of the business as pure functions and plain values: no I/O, no clock, no SQL, no HTTP.
//!
//! What a thing is called, when it is valid and how it is rated belongs here; where it is kept and how it is asked for
//! does not.

#[macro_use]
mod text_enum;

pub mod claims;
pub mod drivers;
pub mod events;
pub mod ids;
pub mod money;
pub mod policies;
pub mod rating;
pub mod risk;
pub mod trips;
pub mod vehicles;

pub use text_enum::UnknownText;
