//! Our own reader of a topic: from its ends on, all partitions, as soon as records are there.
//!
//! It belongs to no group: partitions are assigned, and nothing is ever committed.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    Message as _,
    consumer::Consumer as _,
    error::KafkaError,
    topic_partition_list::{Offset, TopicPartitionList},
};
use tokio_util::sync::CancellationToken;

use super::{Consumer, Ears, PATIENCE, TopicPlace, record::Reader};
use crate::{ledger::Seen, owed::Writes, reasons::Reasons};

/// Between two looks at whether it is over.
const POLL: Duration = Duration::from_millis(100);
/// Records kept of one topic: 160 MB.
const MAX_RECORDS: usize = 4_000_000;

/// Where a record is that has an id.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordAt {
    /// Hash of its id.
    pub(super) id: u64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// Records that were read.
pub(super) struct Shown {
    /// Their ids, and when they came.
    pub(super) seen: Seen,
    /// Partition and offset of each of them.
    pub(super) places: Vec<RecordAt>,
}

/// Reads a topic.
pub(super) struct Tail {
    reader: Reader,
    writes: Arc<Writes>,
    reasons: Arc<Reasons>,
    /// Held for one record, and to settle.
    shown: Mutex<Shown>,
}

/// A consumer that fetches what is there at once. The library wants the name of a group of every consumer that
/// assigns; nobody joins this one, and nothing is committed to it.
pub(super) fn consumer(place: &TopicPlace, reasons: &Arc<Reasons>) -> Result<Consumer, KafkaError> {
    place
        .client()
        .set("group.id", "loadtest-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.wait.max.ms", "10")
        .set("fetch.queue.backoff.ms", "10")
        .set("fetch.error.backoff.ms", "50")
        .create_with_context(Ears(Arc::clone(reasons)))
}

impl Tail {
    pub(super) fn new(reader: Reader, writes: &Arc<Writes>, reasons: &Arc<Reasons>) -> Self {
        Self {
            reader,
            writes: Arc::clone(writes),
            reasons: Arc::clone(reasons),
            shown: Mutex::new(Shown {
                seen: Seen::watching(None, MAX_RECORDS),
                places: Vec::new(),
            }),
        }
    }

    pub(super) fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().expect("nothing panics while holding it")
    }

    /// Assigns every partition at the offset that its next record will have. A number, and not "the end": where that is
    /// would be looked up later, behind the first records perhaps.
    pub(super) fn assign(&self, consumer: &Consumer, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            all.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&all)?;
        self.shown().seen.begins(self.writes.now_us());
        Ok(())
    }

    /// Reads on a thread of its own until `read` is cancelled.
    pub(super) fn start(self: &Arc<Self>, consumer: Consumer, read: CancellationToken) -> JoinHandle<()> {
        let tail = Arc::clone(self);
        thread::spawn(move || {
            while !read.is_cancelled() {
                match consumer.poll(POLL) {
                    Some(Ok(record)) => tail.note(&record),
                    Some(Err(error)) => tail.reasons.note(&error),
                    None => {}
                }
            }
        })
    }

    fn note(&self, record: &rdkafka::message::BorrowedMessage<'_>) {
        let at_us = self.writes.now_us();
        let Some(message) = self.reader.read(record) else {
            return;
        };
        let mut shown = self.shown();
        shown.seen.shows(message, at_us);
        if shown.places.len() < MAX_RECORDS {
            shown.places.push(RecordAt {
                id: message.id,
                partition: record.partition(),
                offset: record.offset(),
            });
        }
    }
}
