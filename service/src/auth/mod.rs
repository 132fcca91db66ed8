//! Who is asking, and may they: tokens, passwords and the extractors that stand before every protected route.
//!
//! What belongs here: proving an identity and a scope. Where users are stored is the store's business, and logging in
//! (which joins both) is a use case.

mod extractors;
mod passwords;
mod throttle;
mod tokens;

pub use extractors::{Admin, DriverScope, LiveToken};
pub use passwords::{PasswordError, PasswordGate};
pub use throttle::{Attempt, Throttle};
pub use tokens::{Caller, IssuedToken, Revocations, TokenError, TokenKeyError, TokenKeys};
