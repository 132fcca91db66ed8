//! The arrivals of a round, and which of them are sent together.

use std::collections::VecDeque;

/// Arrivals closer together than this are sent together, at the time of the last of them, microseconds. A wake-up costs as much
/// as the request that is sent in it; from 6,700/s on it serves several. What it makes a send late is less than half of what
/// may be (0.3 ms at the 99th percentile), and a tenth of a millisecond is what a timer is late by anyway.
const TOGETHER_US: u64 = 150;
/// Most arrivals that are looked ahead at: more than fall into [`TOGETHER_US`] at any rate that one thread sends.
const MAX_AHEAD: usize = 64;

/// One arrival: its number, and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) number: u64,
    pub(super) due_us: u64,
}

/// Arrivals in their order.
pub(super) struct Schedule<I> {
    times: std::iter::Zip<I, std::ops::RangeFrom<u64>>,
    ahead: VecDeque<Arrival>,
}

impl<I: Iterator<Item = u64>> Schedule<I> {
    /// `times` ascend.
    pub(super) fn new(times: I) -> Self {
        Self {
            times: times.zip(0..),
            ahead: VecDeque::with_capacity(MAX_AHEAD),
        }
    }

    /// When to wake for the next arrivals: when the last of those that go together is due. `None` when there are no more.
    pub(super) fn wake_us(&mut self) -> Option<u64> {
        let first_us = self.peek(0)?.due_us;
        let together = (0..MAX_AHEAD).map_while(|index| self.peek(index).map(|arrival| arrival.due_us));
        together.take_while(|due_us| *due_us <= first_us + TOGETHER_US).last()
    }

    /// The next arrival, when it is due at `now_us`.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<Arrival> {
        self.peek(0).filter(|first| first.due_us <= now_us)?;
        self.ahead.pop_front()
    }

    fn peek(&mut self, index: usize) -> Option<Arrival> {
        while self.ahead.len() <= index {
            let (due_us, number) = self.times.next()?;
            self.ahead.push_back(Arrival { number, due_us });
        }
        self.ahead.get(index).copied()
    }
}

impl<I: Iterator<Item = u64>> Iterator for Schedule<I> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.pop_due(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_far_apart_are_woken_for_one_by_one() {
        let mut schedule = Schedule::new([1_000, 1_200, 1_400].into_iter());
        assert_eq!(schedule.wake_us(), Some(1_000));
        assert_eq!(
            schedule.pop_due(1_199),
            Some(Arrival {
                number: 0,
                due_us: 1_000
            })
        );
        assert_eq!(schedule.pop_due(1_199), None);
        assert_eq!(schedule.wake_us(), Some(1_200));
    }

    #[test]
    fn arrivals_close_together_wait_for_the_last_of_them_and_never_longer() {
        let every_60 = (0..10).map(|index| 1_000 + index * 60);
        let mut schedule = Schedule::new(every_60);
        assert_eq!(schedule.wake_us(), Some(1_120));
        let sent: Vec<u64> = std::iter::from_fn(|| schedule.pop_due(1_120))
            .map(|one| one.number)
            .collect();
        assert_eq!(sent, [0, 1, 2]);
        assert_eq!(schedule.wake_us(), Some(1_300));
    }

    #[test]
    fn nothing_is_lost_at_the_end_or_in_a_crowd() {
        let mut crowd = Schedule::new(std::iter::repeat_n(5, 200));
        assert_eq!(crowd.wake_us(), Some(5));
        assert_eq!(crowd.by_ref().count(), 200);
        assert_eq!((crowd.wake_us(), crowd.pop_due(u64::MAX)), (None, None));
    }
}
