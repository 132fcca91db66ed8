//! What the service does: the only room that joins the cache, the store and the events.
//!
//! What belongs here: the order of steps of a read, a write, a login, a start. HTTP stands in `routes`, SQL in `store`.

mod cascade;
mod invalidation;
mod login;
mod readiness;
mod reads;
mod record_trip;
mod redis_probe;
mod rescore;
mod warming;

pub use cascade::{Change, Endpoint, Question};
pub use invalidation::Invalidator;
pub use login::{Login, LoginError};
pub use readiness::{Dependency, Readiness, ReadyReport};
pub use reads::{Answer, LoadFailed, ReadError, Reads, Source};
pub use record_trip::{RecordTrip, RecordTripError, RecordedTrip};
pub use redis_probe::RedisProbe;
pub use rescore::Rescore;
pub use warming::{WarmProgress, Warming};
