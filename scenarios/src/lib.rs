//! Workloads and targets as data: the TOML files beside this crate and the code that reads them.
//!
//! What belongs here: the formats of `workloads/*.toml` (who asks for what, how often, with which pauses) and
//! `targets/*.toml` (what must hold) and `ablations/*.toml` (what can be switched off), their validation with file, line and the nearest valid name, and the sampling that
//! a generator needs (which journey, which values, which pause, when the next one arrives). What does not: sending anything, measuring anything,
//! judging anything.
//!
//! Everything a file can get wrong is refused by [`Workload::load`] and [`Targets::load`], before any server starts.
//! What they return is compiled: names have become indices, templates lists of parts, and rendering writes into the
//! caller's buffer only.

mod ablation;
mod arrivals;
mod body;
mod check;
mod error;
mod expect;
mod feeder;
mod names;
mod raw;
mod source;
mod table;
mod targets;
mod template;
mod think_time;
mod vars;
mod workload;

pub use ablation::{Ablation, Feature};
pub use arrivals::{Arrivals, Arrive, DEFAULT_CONNECTIONS, OpenModel, Rate, Spacing};
pub use body::BodyTemplate;
pub use error::{InputError, Mistake};
pub use expect::{Expect, Expected, keep};
pub use feeder::{Draw, Feeder, RowOrder, Sequences, ZipfRange};
pub use table::Table;
pub use targets::Targets;
pub use template::Template;
pub use think_time::ThinkTime;
pub use vars::Vars;
pub use workload::{
    ClosedModel, Consistency, Dataset, Endpoint, Extract, Journey, Method, Mix, Models, Prometheus, Quick, Schedule,
    SetupRequest, Step, WarmUp, Workload,
};
