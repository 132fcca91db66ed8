//! The newest events, for clients that come back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::LiveEvent;
use super::position::Position;

/// Bytes of all events together, at most: 800 for each of the default number.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The newest events, in the order in which this replica has read them.
#[derive(Debug, Clone)]
pub(super) struct History {
    events: VecDeque<Arc<LiveEvent>>,
    bytes: usize,
    max_events: usize,
    /// From where on every partition is complete.
    floor: Position,
    /// Behind the newest event.
    end: Position,
}

/// Why the past of a client cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The topic is another one.
    Epoch,
    /// More happened since than is kept.
    TooOld,
    /// More happened since than a client is sent at once.
    TooMuch,
}

/// What a client that comes back has to get.
#[derive(Debug)]
pub(super) enum Past {
    /// These events, in their order.
    Missed(Vec<Arc<LiveEvent>>),
    /// This replica has read less than the client has got from another.
    Ahead,
    /// It cannot be told.
    Lost(Lost),
}

impl History {
    /// From `start` on, of which nothing is read yet.
    pub(super) fn new(start: Position, max_events: usize) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            max_events,
            floor: start.clone(),
            end: start,
        }
    }

    /// Behind the newest event.
    pub(super) fn end(&self) -> &Position {
        &self.end
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: Arc<LiveEvent>) {
        self.bytes += event.json.len();
        self.events.push_back(event);
        while self.events.len() > self.max_events || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.json.len();
            if let Some(floor) = self.floor.next.get_mut(oldest.partition) {
                *floor = oldest.offset + 1;
            }
        }
    }

    /// Everything before `end` is read.
    pub(super) fn advance(&mut self, end: &Position) {
        // A partition that is new is complete from its beginning.
        self.floor.next.resize(end.next.len(), 0);
        self.end.clone_from(end);
    }

    /// What a client at `from` has missed.
    pub(super) fn since(&self, from: &Position) -> Past {
        if from.epoch != self.end.epoch {
            return Past::Lost(Lost::Epoch);
        }
        if (0..self.floor.next.len()).any(|partition| from.of(partition) < self.floor.of(partition)) {
            return Past::Lost(Lost::TooOld);
        }
        if !self.end.reaches(from) {
            return Past::Ahead;
        }
        let missed = self
            .events
            .iter()
            .filter(|event| event.offset >= from.of(event.partition));
        Past::Missed(missed.cloned().collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::events::{EventId, EventName};
    use crate::domain::ids::DriverId;
    use crate::domain::regions::Region;

    pub(in crate::live) fn event(driver: i64, partition: usize, offset: i64) -> Arc<LiveEvent> {
        let id = u128::from(offset.unsigned_abs()) << 8 | partition as u128;
        Arc::new(LiveEvent {
            id: EventId(Uuid::from_u128(id)),
            driver: DriverId(driver),
            region: Region::of(DriverId(driver)),
            name: EventName::TripRecorded,
            partition,
            offset,
            at_ms: None,
            json: format!("{{\"driver_id\":{driver},\"at\":\"{partition}:{offset}\"}}").into(),
        })
    }

    pub(in crate::live) fn position(text: &str) -> Position {
        text.parse().expect("a position")
    }

    fn read(history: &mut History, events: &[(usize, i64)]) {
        let mut end = history.end().clone();
        for (partition, offset) in events {
            history.push(event(1, *partition, *offset));
            end.next.resize(end.next.len().max(partition + 1), 0);
            end.next[*partition] = offset + 1;
        }
        history.advance(&end);
    }

    fn offsets(past: &Past) -> Vec<(usize, i64)> {
        let Past::Missed(events) = past else {
            panic!("{past:?}");
        };
        events.iter().map(|event| (event.partition, event.offset)).collect()
    }

    #[test]
    fn a_client_gets_what_it_has_missed_of_each_partition() {
        let mut history = History::new(position("1.10.20"), 100);
        read(&mut history, &[(0, 10), (1, 20), (0, 11), (1, 22)]);
        assert_eq!(
            offsets(&history.since(&position("1.11.20"))),
            [(1, 20), (0, 11), (1, 22)]
        );
        assert_eq!(offsets(&history.since(&position("1.12.23"))), []);
    }

    #[test]
    fn what_was_before_the_history_is_lost_and_of_each_partition_alone() {
        let mut history = History::new(position("1.10.20"), 2);
        assert!(matches!(history.since(&position("1.9.20")), Past::Lost(Lost::TooOld)));
        read(&mut history, &[(0, 10), (1, 20), (1, 21)]);
        assert!(matches!(history.since(&position("1.10.20")), Past::Lost(Lost::TooOld)));
        assert_eq!(offsets(&history.since(&position("1.11.20"))), [(1, 20), (1, 21)]);
    }

    #[test]
    fn another_epoch_is_another_history_and_one_ahead_has_to_wait() {
        let mut history = History::new(position("2.0"), 10);
        read(&mut history, &[(0, 0)]);
        assert!(matches!(history.since(&position("1.0")), Past::Lost(Lost::Epoch)));
        assert!(matches!(history.since(&position("2.2")), Past::Ahead));
    }

    #[test]
    fn a_partition_that_is_new_is_complete() {
        let mut history = History::new(position("1.5"), 10);
        read(&mut history, &[(0, 5), (1, 0)]);
        assert_eq!(offsets(&history.since(&position("1.6"))), [(1, 0)]);
    }
}
