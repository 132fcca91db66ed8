//! Where a client is in the stream of events: the epoch of the topic, and the next offset of each partition.
//!
//! Replicas read partitions in different orders, so that no single number would mean the same to all. Written
//! `EPOCH.OFFSET.OFFSET...`, opaque to clients.

use std::fmt;
use std::str::FromStr;

/// A position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub(super) epoch: i64,
    /// By partition. Partitions beyond are at their beginning: there were fewer when it was written.
    pub(super) next: Vec<i64>,
}

/// The text is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPosition;

/// Partitions of a position that is read, at most: more than a topic has, and a bound for what a client can send.
const PARTITIONS_MAX: usize = 1_024;

impl Position {
    /// The next offset of a partition.
    pub(super) fn of(&self, partition: usize) -> i64 {
        self.next.get(partition).copied().unwrap_or_default()
    }

    /// Goes behind an event.
    pub(super) fn pass(&mut self, partition: usize, offset: i64) {
        if self.next.len() <= partition {
            self.next.resize(partition + 1, 0);
        }
        self.next[partition] = offset + 1;
    }

    /// Whether everything before `other` is before this, too.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        (0..other.next.len()).all(|partition| self.of(partition) >= other.of(partition))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.epoch)?;
        self.next.iter().try_for_each(|next| write!(f, ".{next}"))
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let numbers = text.split('.').take(PARTITIONS_MAX + 1);
        let numbers: Vec<i64> = numbers
            .map(|number| number.parse().ok().filter(|number| *number >= 0).ok_or(NoPosition))
            .collect::<Result<_, _>>()?;
        let (epoch, next) = numbers.split_first().ok_or(NoPosition)?;
        Ok(Self {
            epoch: *epoch,
            next: next.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_read() {
        let position = Position {
            epoch: 3,
            next: vec![0, 17, 5],
        };
        assert_eq!(position.to_string(), "3.0.17.5");
        assert_eq!("3.0.17.5".parse(), Ok(position));
        for text in ["", "x", "1.-2", "1..2", "1.2x", "1.99999999999999999999"] {
            assert_eq!(text.parse::<Position>(), Err(NoPosition), "{text:?}");
        }
    }

    #[test]
    fn a_partition_that_a_position_does_not_know_is_at_its_beginning() {
        let (older, newer): (Position, Position) = ("1.5".parse().unwrap(), "1.5.2".parse().unwrap());
        assert!(newer.reaches(&older) && !older.reaches(&newer));
        assert!("1.5.0".parse::<Position>().unwrap().reaches(&older));
    }
}
