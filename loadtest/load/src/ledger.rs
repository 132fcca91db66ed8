//! The account of messages that are owed for writes: what was written, what each client of a live stream, or whoever
//! watches a topic, was shown and when, and what follows of the two.
//!
//! A message is owed to a client when the write behind it was acknowledged, the client watches what was written, and it
//! was connected. Whatever is owed and does not come is missed; what comes again is doubled; a number below one that
//! the client has seen in the same group is reordered. Everything is counted per client, exactly: nothing is sampled.

use std::collections::HashMap;

/// A message as far as it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    /// Hash of its id.
    pub(crate) id: u64,
    /// Hash of its group, and its number there.
    pub(crate) order: Option<(u64, i64)>,
}

/// An acknowledged write whose message is owed; times in microseconds of the clock of whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    /// Hash of its id.
    pub(crate) id: u64,
    /// Hash of what it changed, which a client must watch; every client is owed it where absent.
    pub(crate) about: Option<u64>,
    /// When the schedule wanted it sent: a message's time counts from here.
    pub(crate) intended_us: u64,
    /// When it was sent.
    pub(crate) sent_us: u64,
}

/// Messages that one client was shown.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Hash of what it watches; everything where absent.
    pub(crate) watches: Option<u64>,
    /// From when to when it was connected and had subscribed, in order; the last may be open.
    spans: Vec<(u64, Option<u64>)>,
    /// Hash of the id of each message, and when it came, in that order.
    messages: Vec<(u64, u64)>,
    /// The highest number of each group.
    newest: HashMap<u64, i64>,
    reordered: u64,
    /// Messages that are kept at most. More are counted as `not_kept`, which makes the run invalid: they would seem to
    /// be missed.
    room: usize,
    /// Beyond `room`.
    not_kept: u64,
}

/// Whether a client that comes back is shown what it has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It goes on from its position: everything since its first connection is owed.
    Resumes,
    /// Nobody owes it a message that was written while it was away.
    StartsAnew,
}

/// A message that a client was owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) write: Write,
    /// When it came; absent where it did not.
    pub(crate) came_us: Option<u64>,
    /// How often it came again.
    pub(crate) again: u64,
}

/// Sums over all clients of a stream, or of whoever watches a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Messages that clients were owed.
    pub owed: u64,
    /// Of these, those that did not come.
    pub missed: u64,
    /// Messages that came again to a client that had them.
    pub doubled: u64,
    /// Messages whose number was below one that the client had seen in their group.
    pub reordered: u64,
    /// Messages that no followed write explains.
    pub unexplained: u64,
    /// Messages beyond the bound on memory, of which nothing is known.
    pub not_kept: u64,
}

impl Seen {
    /// Of a client that watches what has this hash, with room for so many messages.
    pub(crate) fn watching(watches: Option<u64>, room: usize) -> Self {
        Self {
            watches,
            room,
            ..Self::default()
        }
    }

    /// It is connected and has subscribed.
    pub(crate) fn begins(&mut self, at_us: u64) {
        self.spans.push((at_us, None));
    }

    /// Its connection is over.
    pub(crate) fn ends(&mut self, at_us: u64) {
        if let Some((_, end @ None)) = self.spans.last_mut() {
            *end = Some(at_us);
        }
    }

    pub(crate) fn shows(&mut self, message: Message, at_us: u64) {
        if let Some((group, number)) = message.order {
            let newest = self.newest.entry(group).or_insert(number);
            if number < *newest {
                self.reordered += 1;
            }
            *newest = number.max(*newest);
        }
        if self.messages.len() < self.room {
            self.messages.push((message.id, at_us));
        } else {
            self.not_kept += 1;
        }
    }

    fn watches(&self, write: &Write) -> bool {
        match (self.watches, write.about) {
            (Some(watches), Some(about)) => watches == about,
            _ => true,
        }
    }

    /// Whether it was there for a write; for one that was under way when a connection began or ended it was not, unless
    /// it resumes.
    fn was_there(&self, write: &Write, continuity: Continuity, within_us: u64) -> bool {
        let sent_us = write.sent_us;
        match continuity {
            Continuity::Resumes => self.spans.first().is_some_and(|(begins, _)| *begins <= sent_us),
            Continuity::StartsAnew => self
                .spans
                .iter()
                .any(|(begins, ends)| *begins <= sent_us && ends.is_none_or(|ends| sent_us + within_us <= ends)),
        }
    }

    /// Calls `owed` with every message that it was owed, and adds up.
    pub(crate) fn settle(
        &self,
        writes: &[Write],
        (continuity, within_us): (Continuity, u64),
        account: &mut Account,
        mut owed: impl FnMut(Owed),
    ) {
        let mut came: HashMap<u64, (u64, u64)> = HashMap::with_capacity(self.messages.len());
        for (id, at_us) in &self.messages {
            came.entry(*id)
                .and_modify(|(_, again)| *again += 1)
                .or_insert((*at_us, 0));
        }
        for write in writes {
            let shown = came.remove(&write.id);
            // One that came is counted, was it there or not: a client that connects late is shown what it asks for.
            let is_owed = shown.is_some() || self.was_there(write, continuity, within_us);
            if !self.watches(write) || !is_owed {
                continue;
            }
            account.owed += 1;
            account.missed += u64::from(shown.is_none());
            account.doubled += shown.map_or(0, |(_, again)| again);
            owed(Owed {
                write: *write,
                came_us: shown.map(|(at_us, _)| at_us),
                again: shown.map_or(0, |(_, again)| again),
            });
        }
        account.unexplained += came.values().map(|(_, again)| 1 + again).sum::<u64>();
        account.reordered += self.reordered;
        account.not_kept += self.not_kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN_US: u64 = 1_000;
    const ROOM: usize = 16;

    fn write(id: u64, sent_us: u64) -> Write {
        Write {
            id,
            about: Some(7),
            intended_us: sent_us - 5,
            sent_us,
        }
    }

    fn message(id: u64, number: i64) -> Message {
        Message {
            id,
            order: Some((7, number)),
        }
    }

    fn settled(seen: &Seen, writes: &[Write], continuity: Continuity) -> (Account, Vec<Owed>) {
        let (mut account, mut owed) = (Account::default(), vec![]);
        seen.settle(writes, (continuity, WITHIN_US), &mut account, |one| owed.push(one));
        (account, owed)
    }

    fn connected(watches: Option<u64>) -> Seen {
        let mut seen = Seen::watching(watches, ROOM);
        seen.begins(100);
        seen
    }

    #[test]
    fn what_came_once_and_in_order_is_right() {
        let mut seen = connected(Some(7));
        seen.shows(message(1, 1), 220);
        seen.shows(message(2, 2), 330);
        let (account, owed) = settled(&seen, &[write(1, 200), write(2, 300)], Continuity::StartsAnew);
        assert_eq!(
            account,
            Account {
                owed: 2,
                ..Account::default()
            }
        );
        let times: Vec<u64> = owed
            .iter()
            .map(|one| one.came_us.unwrap() - one.write.intended_us)
            .collect();
        assert_eq!(times, [25, 35]);
    }

    #[test]
    fn each_fault_has_a_count_of_its_own() {
        let mut seen = connected(None);
        seen.shows(message(2, 2), 320);
        seen.shows(message(1, 1), 330);
        seen.shows(message(1, 1), 340);
        seen.shows(message(9, 9), 350);
        let writes = [write(1, 200), write(2, 300), write(3, 300)];
        let (account, _) = settled(&seen, &writes, Continuity::StartsAnew);
        let expected = Account {
            owed: 3,
            missed: 1,
            doubled: 1,
            // The second time, too.
            reordered: 2,
            unexplained: 1,
            not_kept: 0,
        };
        assert_eq!(account, expected);
    }

    #[test]
    fn what_a_client_does_not_watch_is_not_owed_shown_or_not() {
        let mut seen = connected(Some(8));
        seen.shows(message(2, 2), 320);
        let (account, owed) = settled(&seen, &[write(1, 200), write(2, 300)], Continuity::Resumes);
        assert_eq!((account, owed), (Account::default(), vec![]));
    }

    #[test]
    fn a_client_that_was_away_is_owed_what_it_resumes_from() {
        let mut seen = connected(None);
        seen.ends(5_000);
        seen.begins(9_000);
        let before = write(1, 50);
        let long_before_the_end = write(2, 2_000);
        let (under_way, away, after) = (write(3, 4_500), write(4, 6_000), write(5, 10_000));
        let writes = [before, long_before_the_end, under_way, away, after];
        for (continuity, expected) in [(Continuity::StartsAnew, 2), (Continuity::Resumes, 4)] {
            let (account, _) = settled(&seen, &writes, continuity);
            assert_eq!((account.owed, account.missed), (expected, expected), "{continuity:?}");
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_said() {
        let mut seen = connected(None);
        for id in 0..ROOM as u64 + 3 {
            seen.shows(Message { id, order: None }, 200);
        }
        assert_eq!(settled(&seen, &[], Continuity::Resumes).0.not_kept, 3);
    }
}
