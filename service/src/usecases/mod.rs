//! What the service does: the only room that joins the cache, the store and the events.
//!
//! What belongs here: the order of steps of a read, a write, a login, a start. HTTP stands in `routes`, SQL in `store`.

mod cache_admin;
mod cache_outbox;
mod cascade;
mod cursors;
mod forgetting;
mod invalidation;
mod loader;
mod login;
mod query_cache;
mod readiness;
mod reads;
mod rescore;
mod revoking;
mod source;
mod turns;
mod warming;
mod writes;

pub use cache_admin::{CacheAdmin, CacheAdminError, CacheReport, VERIFY_ANSWERS_MAX, VerifyReport, WARM_DRIVERS_MAX};
pub use cache_outbox::{CacheOutbox, Confirmations, Confirming};
pub use cascade::{Change, Ended, Endpoint, Question, tag_names};
pub use cursors::{CursorForm, CursorKey, DRIVERS as DRIVERS_SCOPE, trips_of as trips_scope};
pub use forgetting::Forgetting;
pub use invalidation::{Applied, Invalidator};
pub use loader::{LoadFailed, PageBody};
pub use login::{Login, LoginError, LoginLimits};
pub use query_cache::QueryCache;
pub use readiness::{Dependencies, Dependency, Readiness, ReadyReport};
pub use reads::{Answer, ReadError, Reads, Source};
pub use rescore::Rescore;
pub use revoking::Revoking;
pub use source::Answers;
pub use warming::{WarmProgress, Warming};
pub use writes::{EventsOut, WriteError, Writes, Written};
