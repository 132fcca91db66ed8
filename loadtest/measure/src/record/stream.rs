//! Live streams: what clients that watched were owed by the writes of the load, and what they were shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointCounts;

/// A live stream over all rounds of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamSummary {
    /// Clients that watched it in a round, the most of all rounds.
    pub clients: u64,
    /// Messages that clients were owed.
    pub owed: u64,
    /// Of these, those that did not come.
    pub missed: u64,
    /// Messages that came again.
    pub doubled: u64,
    /// Messages out of order.
    pub reordered: u64,
    /// How often a client came back after it was cut off.
    pub came_back: u64,
    /// Why connections ended or did not come about, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
}

/// A live stream in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stream {
    /// Clients that watched it.
    pub clients: u64,
    /// Messages that clients were owed by writes of the measured phase, counted as requests are: from the moment at
    /// which the write was meant to be sent to the arrival of its message. Too late and missed ones are time-outs,
    /// those that came again unexpected answers.
    pub messages: EndpointCounts,
    /// Messages that clients were owed over the whole round.
    pub owed: u64,
    /// Of those owed over the whole round, those that did not come.
    pub missed: u64,
    /// Messages that came again to a client that had them, over the whole round.
    pub doubled: u64,
    /// Messages with a number below one that their client had seen in the same group, over the whole round.
    pub reordered: u64,
    /// Messages that no followed write explains: of writes that failed or were not followed.
    #[serde(default)]
    pub unexplained: u64,
    /// Messages beyond what the generator keeps of one client, of which nothing is known.
    #[serde(default)]
    pub not_kept: u64,
    /// How often a client came back after it was cut off.
    #[serde(default)]
    pub came_back: u64,
    /// Why connections ended or did not come about, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
}
