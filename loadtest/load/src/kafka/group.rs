//! Commits of a consumer group. The first one behind a record is the record's effect, as far as it shows from outside.
//!
//! The group is asked every few milliseconds by a client that never joins it. A commit is seen when the answer is
//! there, so that an effect is timed up to one such pause and one request too late, and never too early.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer as _,
    error::KafkaError,
    topic_partition_list::{Offset, TopicPartitionList},
};
use tokio_util::sync::CancellationToken;

use super::{Consumer, Ears, PATIENCE, TopicPlace, tail::RecordAt};
use crate::{
    ledger::{Message, Seen},
    owed::Writes,
    reasons::Reasons,
};

/// Between two questions about commits: one request to one broker each.
const ASKING_AGAIN: Duration = Duration::from_millis(10);
/// The ends of partitions, which are a request each, are asked for once in so many questions.
const ENDS_EVERY: u32 = 10;
/// Changes kept of all partitions together: 64 MB, hours of a group that commits all the time. Effects of later ones
/// are not known, and count as missed.
const MAX_COMMITS: usize = 4_000_000;

/// When the offset up to which a partition is worked off became another one: microseconds, and the offset.
type Commits = Vec<(u64, i64)>;

/// Watches a group.
pub(super) struct Group {
    topic: String,
    partitions: i32,
    writes: Arc<Writes>,
    reasons: Arc<Reasons>,
    /// By partition. Held for one answer, and to settle.
    commits: Mutex<Vec<Commits>>,
    offset_lag_max: AtomicU64,
}

impl Group {
    pub(super) fn new(topic: &str, partitions: i32, writes: &Arc<Writes>, reasons: &Arc<Reasons>) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions,
            writes: Arc::clone(writes),
            reasons: Arc::clone(reasons),
            commits: Mutex::new((0..partitions).map(|_| Commits::new()).collect()),
            offset_lag_max: AtomicU64::new(0),
        }
    }

    /// Watches the group of this name on a thread of its own until `closing` is cancelled. Its first commits are known
    /// when this returns.
    pub(super) fn start(
        self: &Arc<Self>,
        place: &TopicPlace,
        name: &str,
        closing: CancellationToken,
    ) -> Result<JoinHandle<()>, KafkaError> {
        let mut config = place.client();
        let config = config.set("group.id", name).set("enable.auto.commit", "false");
        let client: Consumer = config.create_with_context(Ears(Arc::clone(&self.reasons)))?;
        self.note(&self.ask(&client)?);
        let group = Arc::clone(self);
        Ok(thread::spawn(move || group.watch(&client, &closing)))
    }

    fn watch(&self, client: &Consumer, closing: &CancellationToken) {
        let mut questions = 0_u32;
        while !closing.is_cancelled() {
            let began = Instant::now();
            let looked = self.ask(client).and_then(|committed| {
                self.note(&committed);
                if questions.is_multiple_of(ENDS_EVERY) {
                    self.measure_lag(client, &committed)?;
                }
                Ok(())
            });
            if let Err(error) = looked {
                self.reasons.note(&error);
            }
            questions = questions.wrapping_add(1);
            // It is assigned nothing: this only serves what the client has to say.
            let _nothing = client.poll(Duration::ZERO);
            thread::park_timeout(ASKING_AGAIN.saturating_sub(began.elapsed()));
        }
    }

    /// The committed offset of each partition. Plain numbers, so that no list of librdkafka's outlives this: with one
    /// alive a consumer cannot be closed.
    fn ask(&self, client: &Consumer) -> Result<Vec<Option<i64>>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions {
            asked.add_partition(&self.topic, partition);
        }
        let answered = client.committed_offsets(asked, PATIENCE)?;
        let offset = |partition| match answered.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok((0..self.partitions).map(offset).collect())
    }

    fn note(&self, committed: &[Option<i64>]) {
        let at_us = self.writes.now_us();
        let mut commits = self.commits();
        let kept: usize = commits.iter().map(Vec::len).sum();
        for (of_partition, offset) in commits.iter_mut().zip(committed) {
            let Some(offset) = *offset else { continue };
            let is_new = of_partition.last().is_none_or(|(_, last)| *last < offset);
            if is_new && kept < MAX_COMMITS {
                of_partition.push((at_us, offset));
            }
        }
    }

    /// Behind the committed offsets, so that a busy partition never shows less than none.
    fn measure_lag(&self, client: &Consumer, committed: &[Option<i64>]) -> Result<(), KafkaError> {
        let mut lag = 0;
        for (partition, committed) in (0..self.partitions).zip(committed) {
            let (begin, end) = client.fetch_watermarks(&self.topic, partition, PATIENCE)?;
            let next = committed.map_or(begin, |committed| committed.max(begin));
            lag += u64::try_from(end - next).unwrap_or(0);
        }
        self.offset_lag_max.fetch_max(lag, Ordering::Relaxed);
        Ok(())
    }

    /// The largest number of records that were not committed.
    pub(super) fn offset_lag_max(&self) -> u64 {
        self.offset_lag_max.load(Ordering::Relaxed)
    }

    /// When the group had committed the record at an offset, if it has.
    pub(super) fn passed_us(&self, partition: i32, offset: i64) -> Option<u64> {
        passed_us(self.commits().get(usize::try_from(partition).ok()?)?, offset)
    }

    /// Up to where the group has committed a partition, if it has.
    pub(super) fn committed(&self, partition: i32) -> Option<i64> {
        let commits = self.commits();
        let of_partition = commits.get(usize::try_from(partition).ok()?)?;
        of_partition.last().map(|(_, offset)| *offset)
    }

    /// The first effect of each id among these records, as messages that were shown.
    pub(super) fn effects_of(&self, places: &[RecordAt]) -> Seen {
        let commits = self.commits();
        let mut effects = Seen::watching(None, places.len());
        effects.begins(0);
        let mut had_one = HashSet::with_capacity(places.len());
        for RecordAt { id, partition, offset } in places {
            let of_partition = usize::try_from(*partition).ok().and_then(|index| commits.get(index));
            let passed = of_partition.and_then(|commits| passed_us(commits, *offset));
            if let Some(at_us) = passed.filter(|_| had_one.insert(*id)) {
                effects.shows(Message { id: *id, order: None }, at_us);
            }
        }
        effects
    }

    fn commits(&self) -> MutexGuard<'_, Vec<Commits>> {
        self.commits.lock().expect("nothing panics while holding it")
    }
}

/// A commit names the next offset: everything below it is done.
fn passed_us(commits: &Commits, offset: i64) -> Option<u64> {
    let first = commits.partition_point(|(_, committed)| *committed <= offset);
    commits.get(first).map(|(at_us, _)| *at_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owed::Names;

    fn group() -> Group {
        let writes = Arc::new(Writes::new(&[], Names::default(), Instant::now()));
        Group::new("t", 2, &writes, &Arc::default())
    }

    #[test]
    fn a_record_is_done_when_the_commit_is_behind_it() {
        let commits = vec![(10, 3), (20, 5)];
        let passed = [0, 2, 3, 4, 5].map(|offset| passed_us(&commits, offset));
        assert_eq!(passed, [Some(10), Some(10), Some(20), Some(20), None]);
        assert_eq!(passed_us(&vec![], 0), None);
    }

    #[test]
    fn only_what_moves_a_group_on_is_kept() {
        let group = group();
        for committed in [[None, Some(4)], [Some(1), Some(4)], [Some(1), Some(2)], [None, Some(5)]] {
            group.note(&committed);
        }
        let offsets: Vec<Vec<i64>> = group
            .commits()
            .iter()
            .map(|commits| commits.iter().map(|(_, offset)| *offset).collect())
            .collect();
        assert_eq!(offsets, [vec![1], vec![4, 5]]);
        assert!(group.passed_us(1, 4).is_some() && group.passed_us(1, 5).is_none());
        assert_eq!(group.passed_us(9, 0), None);
    }
}
