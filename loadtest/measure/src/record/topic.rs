//! Topics of Kafka: records that were owed for the writes of the load, what a consumer group made of them, and messages
//! of the generator itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EndpointCounts;

/// A topic over all rounds of a subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopicSummary {
    /// Records that were owed.
    pub owed: u64,
    /// Of these, those that did not come.
    pub missed: u64,
    /// Records that came again.
    pub doubled: u64,
    /// Records out of order.
    pub reordered: u64,
    /// Of the records that were owed, those that the group never committed; absent where no group is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_effects: Option<u64>,
    /// The largest number of records that the group had not committed, of all rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_lag_max: Option<u64>,
    /// Messages of the generator that found no room in its queue, or came too late to be sent; absent where it produced
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<u64>,
    /// Backlogs; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<TopicBacklog>,
    /// Errors that brokers and clients told, each text with its count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
}

/// A topic in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Topic {
    /// Partitions that were watched.
    pub partitions: u32,
    /// Records that were owed by writes of the measured phase, counted as requests are: from the moment at which the
    /// write was meant to be sent to the moment at which the record was read. Too late and missed ones are time-outs,
    /// those that came again unexpected answers. Absent where the workload follows no writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<EndpointCounts>,
    /// Records that were owed over the whole round.
    pub owed: u64,
    /// Of those owed over the whole round, those that did not come.
    pub missed: u64,
    /// Records that came again, over the whole round.
    pub doubled: u64,
    /// Records with a number below one that was seen before in the same group, over the whole round.
    pub reordered: u64,
    /// Records that no followed write explains: of writes that failed, were not followed, or are those of others.
    #[serde(default)]
    pub unexplained: u64,
    /// Records beyond what the generator keeps of a topic, of which nothing is known.
    #[serde(default)]
    pub not_kept: u64,
    /// When the group committed the records; absent where no group is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<TopicEffects>,
    /// The largest number of records that the group had not committed; absent where no group is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_lag_max: Option<u64>,
    /// Messages of the generator; absent where it produced none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced: Option<TopicProduced>,
    /// Messages that were worked off when the load was over; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<TopicBacklog>,
    /// Errors that brokers and clients told, each text with its count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
}

/// Effects of the records of a topic in one round: when the consumer group committed each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopicEffects {
    /// Effects that were owed by writes of the measured phase, counted as requests are: from the moment at which the
    /// write was meant to be sent to the commit behind its record.
    pub commits: EndpointCounts,
    /// Effects that were owed over the whole round.
    pub owed: u64,
    /// Of those owed over the whole round, those that did not come.
    pub missed: u64,
}

/// Messages that the generator produced at a rate in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopicProduced {
    /// Messages of the measured phase, counted as requests are: from the moment at which each was meant to be sent to
    /// its acknowledgement.
    pub acknowledgements: EndpointCounts,
    /// Messages that found no room in the queue of the generator, or came too late to be sent, over the whole round.
    pub not_sent: u64,
}

/// Messages that were produced as fast as the broker took them, and worked off by the consumer group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TopicBacklog {
    /// Messages that were to be produced.
    pub messages: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Of these, those that the group committed in time.
    pub worked_off: u64,
    /// Seconds from the first message to the last acknowledgement.
    pub produced_s: f64,
    /// Seconds from the first message to the last commit; where something was left, until nobody waited any more.
    pub took_s: f64,
}

impl TopicBacklog {
    /// Messages that were worked off in a second; none where no time passed.
    pub fn worked_off_per_s(&self) -> Option<f64> {
        (self.took_s > 0.0).then(|| self.worked_off as f64 / self.took_s)
    }

    /// Messages that were acknowledged in a second; none where no time passed.
    pub fn produced_per_s(&self) -> Option<f64> {
        (self.produced_s > 0.0).then(|| self.acknowledged as f64 / self.produced_s)
    }

    /// Whether all of it was produced and worked off.
    pub fn is_worked_off(&self) -> bool {
        self.worked_off == self.messages
    }

    /// Adds a backlog that was worked off at another time: messages and times add up.
    pub(crate) fn follow_with(&mut self, later: &Self) {
        self.add_messages(later);
        self.produced_s += later.produced_s;
        self.took_s += later.took_s;
    }

    /// Adds the part of another generator, at the same time: messages add up, the longest time counts.
    pub(crate) fn join(&mut self, beside: &Self) {
        self.add_messages(beside);
        self.produced_s = self.produced_s.max(beside.produced_s);
        self.took_s = self.took_s.max(beside.took_s);
    }

    fn add_messages(&mut self, other: &Self) {
        self.messages += other.messages;
        self.acknowledged += other.acknowledged;
        self.worked_off += other.worked_off;
    }
}
