//! The Kafka consumer: takes messages in batches, one lane per partition, has each batch worked off, then commits.
//!
//! At least once: offsets are committed after the handler has committed, and exactly as far as it has. A partition
//! whose batch fails waits and is paused when enough messages wait behind it; the others go on. A message that cannot
//! be read, or that fails by its own fault again and again, is put aside as a dead letter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::{ClientConfig, Statistics};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::lane::{Done, Lane, LaneWork, WAITING_MAX};
use super::membership::Membership;
use super::producer::STATISTICS_MS;
use super::{DeadLetters, EventHandler, KafkaSetupError, client_of};
use crate::config::{Consuming, GroupProtocol, KafkaConfig};
use crate::metrics::{EventMetrics, KafkaMetrics};

/// Reports of lanes that may wait for the loop, which reads them at once: one for each of more partitions than a
/// replica has.
const REPORTS_MAX: usize = 64;
/// Reports and messages that are taken in before the other is looked at.
const AT_ONCE: usize = 500;
/// A paused partition goes on when so few of its messages wait.
const GO_ON_BELOW: usize = WAITING_MAX / 4;

/// Follows the group's rebalances.
struct GroupContext {
    membership: Arc<Membership>,
    metrics: KafkaMetrics,
    /// Partitions that were taken away, for the loop. Held for a copy; never across an await.
    revoked: Mutex<Vec<i32>>,
}

impl ClientContext for GroupContext {
    fn stats(&self, statistics: Statistics) {
        self.metrics.consumer("consumer", &statistics);
        if let Some(group) = &statistics.cgrp
            && group.state == "up"
            && group.join_state == "steady"
        {
            self.membership
                .found(usize::try_from(group.assignment_size).unwrap_or_default());
        }
    }
}

impl ConsumerContext for GroupContext {
    // The consumer must not be asked here: at a close its last revocation may have ended the thread that would answer,
    // and librdkafka waits for that answer without a bound.
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.metrics.rebalances.inc();
        match rebalance {
            Rebalance::Assign(partitions) => self.membership.assigned(partitions.count()),
            Rebalance::Revoke(partitions) => {
                self.membership.revoked(partitions.count());
                let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
                revoked.extend(partitions.elements().iter().map(TopicPartitionListElem::partition));
            }
            Rebalance::Error(_) => self.membership.lost(),
        }
        tracing::info!(?rebalance, "Kafka partitions");
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets were not committed: these events may come again");
        }
    }
}

/// Consumes events.
pub struct Consumer {
    client: StreamConsumer<GroupContext>,
    topic: String,
    work: Arc<LaneWork>,
}

impl Consumer {
    /// Joins the group in the background; `membership` follows it. Each of the batches `in_work` at the same time has a
    /// database connection.
    pub fn new(
        config: &KafkaConfig,
        (consuming, in_work): (Consuming, usize),
        membership: Arc<Membership>,
        handler: Arc<dyn EventHandler>,
        dead_letters: DeadLetters,
        (metrics, kafka): (EventMetrics, KafkaMetrics),
    ) -> Result<Self, KafkaSetupError> {
        let context = GroupContext {
            membership,
            metrics: kafka,
            revoked: Mutex::default(),
        };
        let failed = KafkaSetupError::of("consumer");
        let client: StreamConsumer<_> = client_config(config, consuming)
            .create_with_context(context)
            .map_err(&failed)?;
        client.subscribe(&[&config.topic]).map_err(&failed)?;
        Ok(Self {
            client,
            topic: config.topic.clone(),
            work: Arc::new(LaneWork::new(
                (consuming, in_work),
                config.attempts,
                handler,
                dead_letters,
                metrics,
            )),
        })
    }

    /// Runs until `stop`. Batches in work are given up then: not being committed, they come again.
    pub async fn run(self, stop: CancellationToken) {
        let (reports, done) = mpsc::channel(REPORTS_MAX);
        let mut lanes = Lanes {
            consumer: &self,
            open: HashMap::new(),
            tasks: JoinSet::new(),
            reports,
        };
        stop.run_until_cancelled(lanes.run(done)).await;
        lanes.tasks.shutdown().await;
        drop(lanes);
        self.leave().await;
    }

    fn commit(&self, next: &HashMap<i32, i64>) {
        if next.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::new();
        let added: KafkaResult<()> = next.iter().try_for_each(|(partition, next)| {
            offsets.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))
        });
        if let Err(error) = added.and_then(|()| self.client.commit(&offsets, CommitMode::Async)) {
            tracing::warn!(%error, "offsets were not committed: these events may come again");
        }
    }

    fn revoked(&self) -> Vec<i32> {
        let mut revoked = self
            .client
            .context()
            .revoked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *revoked)
    }

    fn one(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// Leaves the group.
    async fn leave(self) {
        self.client.unsubscribe();
        // With the work goes its producer, of dead letters.
        super::close("consumer", (self.client, self.work)).await;
    }
}

/// The lanes of the partitions that this replica has.
struct Lanes<'c> {
    consumer: &'c Consumer,
    open: HashMap<i32, Lane>,
    tasks: JoinSet<()>,
    reports: mpsc::Sender<Done>,
}

impl Lanes<'_> {
    async fn run(&mut self, mut done: mpsc::Receiver<Done>) {
        loop {
            tokio::select! {
                message = self.consumer.client.recv() => self.take_in(message).await,
                Some(report) = done.recv() => self.settle(report, &mut done),
                Some(ended) = self.tasks.join_next() => go_on_after(ended),
            }
            self.close_revoked();
        }
    }

    /// Takes this message in, and what is there already.
    async fn take_in(&mut self, message: Result<BorrowedMessage<'_>, KafkaError>) {
        self.hand_over(message).await;
        for _ in 1..AT_ONCE {
            match self.consumer.client.recv().now_or_never() {
                Some(message) => self.hand_over(message).await,
                None => break,
            }
        }
    }

    async fn hand_over(&mut self, message: Result<BorrowedMessage<'_>, KafkaError>) {
        let message = match message {
            Ok(message) => message,
            // Transport errors and a topic that does not exist yet: librdkafka goes on trying by itself.
            Err(error) => return tracing::warn!(%error, "Kafka reports an error to the consumer"),
        };
        // First: a partition that was taken away and given back since begins anew, and its old lane ends with all it
        // has.
        self.close_revoked();
        let (partition, work) = (message.partition(), &self.consumer.work);
        let (tasks, reports) = (&mut self.tasks, &self.reports);
        let lane = self
            .open
            .entry(partition)
            .or_insert_with(|| Lane::open(partition, Arc::clone(work), reports.clone(), tasks));
        if lane.hand_over(message.detach()).await >= WAITING_MAX && !lane.is_paused {
            lane.is_paused = true;
            self.pause(partition);
        }
    }

    fn pause(&self, partition: i32) {
        self.consumer.work.metrics.pauses.inc();
        if let Err(error) = self.consumer.client.pause(&self.consumer.one(partition)) {
            tracing::warn!(%error, partition, "a partition is not paused");
        }
    }

    /// Commits what is worked off, by this report and those that have come meanwhile.
    fn settle(&mut self, report: Done, done: &mut mpsc::Receiver<Done>) {
        let mut next = HashMap::new();
        let mut report = Some(report);
        while let Some(done_by_lane) = report {
            self.settle_one(&done_by_lane, &mut next);
            report = done.try_recv().ok();
        }
        self.consumer.commit(&next);
    }

    fn settle_one(&mut self, report: &Done, next: &mut HashMap<i32, i64>) {
        // A lane that was closed and opened again meanwhile knows nothing of the report of the one before.
        let lane = self.open.get_mut(&report.partition);
        let Some(lane) = lane.filter(|lane| lane.number == report.lane) else {
            return;
        };
        next.insert(report.partition, report.next_offset);
        lane.waiting -= report.messages;
        if lane.is_paused && lane.waiting <= GO_ON_BELOW {
            lane.is_paused = false;
            self.resume(report.partition);
        }
    }

    fn resume(&self, partition: i32) {
        if let Err(error) = self.consumer.client.resume(&self.consumer.one(partition)) {
            tracing::warn!(%error, partition, "a partition stays paused");
        }
    }

    fn close_revoked(&mut self) {
        for partition in self.consumer.revoked() {
            if let Some(lane) = self.open.remove(&partition) {
                lane.task.abort();
                if lane.is_paused {
                    // Or it would come back paused.
                    self.resume(partition);
                }
            }
        }
    }
}

/// Lanes end when their partition is taken away. One that panics takes the service with it, which says so and is
/// started anew: a partition without a lane would stand still unseen.
fn go_on_after(ended: Result<(), JoinError>) {
    if let Some(panicked) = ended.err().and_then(|ended| ended.try_into_panic().ok()) {
        std::panic::resume_unwind(panicked);
    }
}

/// Offsets are committed by hand, after the work. The topic may be made after this process has started, hence the short
/// metadata refresh.
fn client_config(config: &KafkaConfig, consuming: Consuming) -> ClientConfig {
    let mut client = client_of(config);
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "2000")
        .set("statistics.interval.ms", STATISTICS_MS);
    if consuming == Consuming::Tuned {
        tune_fetches(&mut client);
    }
    match config.group_protocol {
        // The broker says which assignor, and when a member counts as gone.
        GroupProtocol::Consumer => client.set("group.protocol", "consumer"),
        GroupProtocol::Classic => {
            client.set("session.timeout.ms", "10000");
            match consuming {
                // A rebalance takes away only what has to move; the rest is worked on meanwhile.
                Consuming::Tuned => client.set("partition.assignment.strategy", "cooperative-sticky"),
                Consuming::Defaults => client.set("partition.assignment.strategy", "range,roundrobin"),
            }
        }
    };
    client
}

/// The latency of a lone event: with the default of 500 ms for an empty fetch, an event that just missed one would wait
/// 130 to 380 ms, with 10 ms 7 to 21 ms; with the default of a second before a partition with enough messages is asked
/// again, the first event after a burst would wait as long. The queue holds a few batches.
pub(crate) fn tune_fetches(client: &mut ClientConfig) {
    client
        .set("fetch.wait.max.ms", "10")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.min.messages", "5000")
        .set("queued.max.messages.kbytes", "16384");
}
