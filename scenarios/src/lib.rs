//! Workloads and targets as data: the TOML files beside this crate and the code that reads them.
//!
//! What belongs here: the formats of `subjects/*.toml` (how a service is built, started and stopped),
//! `workloads/*.toml` (who asks for what, how often, with which pauses), `targets/*.toml` (what must hold) and
//! `ablations/*.toml` (what can be switched off), their validation with file, line and the nearest valid name, and the
//! sampling that a generator needs (which journey, which values, which pause, when the next one arrives). What does
//! not: sending anything, measuring anything, judging anything.
//!
//! Everything a file can get wrong is refused by [`Service::load`], [`Workload::load`] and [`Targets::load`], before
//! any server starts.
//! What they return is compiled: names have become indices, templates lists of parts, and rendering writes into the
//! caller's buffer only.

mod ablation;
mod arrivals;
mod body;
mod command;
mod error;
mod expect;
mod extract;
mod feeder;
mod http;
mod journey;
mod kafka;
mod mend;
mod mix;
mod model;
mod names;
mod number;
mod page;
mod pattern;
mod payload;
mod rate;
mod request;
mod source;
mod subject;
mod syntax;
mod table;
mod targets;
mod template;
#[cfg(feature = "testing")]
pub mod testing;
mod think_time;
mod vars;
mod websocket;
mod workload;

pub use ablation::{Ablation, Feature};
pub use arrivals::{Arrivals, Arrive, DEFAULT_CONNECTIONS, OpenModel, Spacing};
pub use command::{Command, Placeholder, Text};
pub use error::{InputError, Mistake};
pub use expect::{Expect, Expected, Size};
pub use extract::{Answered, Extract, Place, keep};
pub use feeder::Sequences;
pub use http::{Http, HttpVersion, Secrets};
pub use journey::{Journey, Step};
pub use kafka::{Backlog, Message, Produce, ProtobufRead, RecordForm, RecordPlace, Topic};
pub use mix::Mix;
pub use model::{ClosedModel, Models};
pub use names::did_you_mean;
pub use page::{Quotient, Samples};
pub use pattern::Pattern;
pub use payload::{Body, BodyPart};
pub use rate::Rate;
pub use request::{Endpoint, Method, SetupRequest};
pub use source::{MAX_PER_S, MAX_SECONDS};
pub use subject::{Build, Need, OwnServer, Ready, ReadyLine, ServerRun, Service, Stop, StopSignal};
pub use syntax::toml_text;
pub use targets::Targets;
pub use template::Template;
pub use think_time::ThinkTime;
pub use vars::Vars;
pub use websocket::{Follow, FrameShape, LiveStream};
pub use workload::{Consistency, Dataset, Prometheus, Schedule, Workload};
