//! The arrivals of a round, and which of them are sent together.

use std::collections::VecDeque;

/// Arrivals closer together than this are sent together, at the time of the last of them, microseconds. A wake-up costs
/// as much as the request that is sent in it; from 6,700/s on it serves several. What it makes a send late is less than
/// half of what may be (0.3 ms at the 99th percentile at 5,000/s), and a tenth of a millisecond is what a timer is late
/// by anyway.
const TOGETHER_US: u64 = 150;
/// Arrivals of a crowd that are closer together than this are sent together, microseconds: half of what `oha` sends in
/// one go, and two thirds of the CPU time of the shorter wait.
const TOGETHER_IN_CROWD_US: u64 = 500;
/// A crowd: arrivals that follow each other faster than this on average, microseconds (10,000/s).
const CROWD_SPACING_US: u64 = 100;
/// Most arrivals that are looked ahead at: more than fall into [`TOGETHER_IN_CROWD_US`] at any rate that one thread
/// sends.
const MAX_AHEAD: usize = 64;

/// One arrival: its number, and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) number: u64,
    pub(crate) due_us: u64,
}

/// Arrivals in their order, each until it is due.
pub(crate) struct DueArrivals<I> {
    times: std::iter::Zip<I, std::ops::RangeFrom<u64>>,
    ahead: VecDeque<Arrival>,
}

impl<I: Iterator<Item = u64>> DueArrivals<I> {
    /// `times` ascend.
    pub(crate) fn new(times: I) -> Self {
        Self {
            times: times.zip(0..),
            ahead: VecDeque::with_capacity(MAX_AHEAD),
        }
    }

    /// When to wake for the next arrivals: when the last of those that go together is due. `None` when there are no
    /// more.
    pub(crate) fn wake_us(&mut self) -> Option<u64> {
        let last_us = self.peek(0)?.due_us + self.together_us();
        let ahead = self.ahead.iter().map(|arrival| arrival.due_us);
        ahead.take_while(|due_us| *due_us <= last_us).last()
    }

    /// How long the first arrival waits for others. All that may be looked at is taken in: a few that happen to be
    /// close, as in every Poisson process, are no crowd.
    fn together_us(&mut self) -> u64 {
        self.peek(MAX_AHEAD - 1);
        let (Some(first), Some(last)) = (self.ahead.front(), self.ahead.back()) else {
            return TOGETHER_US;
        };
        let crowded = last.due_us - first.due_us < CROWD_SPACING_US * (self.ahead.len() as u64 - 1);
        if crowded { TOGETHER_IN_CROWD_US } else { TOGETHER_US }
    }

    /// The next arrival, when it is due at `now_us`.
    pub(crate) fn pop_due(&mut self, now_us: u64) -> Option<Arrival> {
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

impl<I: Iterator<Item = u64>> Iterator for DueArrivals<I> {
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
        let mut arrivals = DueArrivals::new([1_000, 1_200, 1_400].into_iter());
        assert_eq!(arrivals.wake_us(), Some(1_000));
        assert_eq!(
            arrivals.pop_due(1_199),
            Some(Arrival {
                number: 0,
                due_us: 1_000
            })
        );
        assert_eq!(arrivals.pop_due(1_199), None);
        assert_eq!(arrivals.wake_us(), Some(1_200));
    }

    /// When the first wake-up is, and what it sends.
    fn first_sent(spacing_us: u64, count: u64) -> (u64, Vec<u64>) {
        let mut arrivals = DueArrivals::new((0..count).map(|index| 1_000 + index * spacing_us));
        let wake_us = arrivals.wake_us().expect("there are arrivals");
        let sent = std::iter::from_fn(|| arrivals.pop_due(wake_us));
        (wake_us, sent.map(|one| one.number).collect())
    }

    #[test]
    fn arrivals_close_together_wait_for_the_last_of_them_and_never_longer() {
        assert_eq!(first_sent(120, 100), (1_120, vec![0, 1]));
        assert_eq!(first_sent(100, 100), (1_100, vec![0, 1]));
    }

    #[test]
    fn in_a_crowd_more_of_them_go_together() {
        assert_eq!(first_sent(90, 100), (1_450, (0..6).collect()));
        assert_eq!(first_sent(60, 100), (1_480, (0..9).collect()));
        assert_eq!(first_sent(60, 3), (1_120, vec![0, 1, 2]));
    }

    /// A cluster within a calm arrivals.
    #[test]
    fn a_few_close_arrivals_are_no_crowd() {
        let cluster = (0..5).map(|index| index * 50);
        let mut arrivals = DueArrivals::new(cluster.chain((1..100).map(|index| 200 + index * 1_000)));
        assert_eq!(arrivals.wake_us(), Some(150));
    }

    #[test]
    fn nothing_is_lost_at_the_end_or_in_a_crowd() {
        let mut crowd = DueArrivals::new(std::iter::repeat_n(5, 200));
        assert_eq!(crowd.wake_us(), Some(5));
        assert_eq!(crowd.by_ref().count(), 200);
        assert_eq!((crowd.wake_us(), crowd.pop_due(u64::MAX)), (None, None));
    }
}
