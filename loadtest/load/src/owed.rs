//! What is owed for writes: noting them where they are acknowledged, hashing what they are known by, and counting what
//! became of each as requests are counted.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use measure::{
    record::{EndpointCounts, FailureClass},
    recorder::{Request, RequestEnd, RoundRecorder, Shard, Unfinished, Windows},
};
use scenarios::{Follow, Template, Vars};
use serde_json::Value;

use crate::{
    Clock,
    ledger::{Owed, Write},
    timeline::micros,
};

/// Hashes of ids; the same text always has the same. Of a million ids two share one with a probability of 3 in 100
/// million.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(RandomState);

impl Names {
    pub(crate) fn hash(&self, text: &str) -> u64 {
        self.0.hash_one(text)
    }
}

/// Acknowledged writes whose messages are owed.
#[derive(Debug)]
pub(crate) struct Writes {
    follows: Vec<Follow>,
    names: Names,
    /// Times count from here.
    start: Instant,
    /// 40 bytes for each request of an endpoint that is followed.
    list: Mutex<Vec<Write>>,
}

impl Writes {
    /// None yet; `follows` says of which endpoints they come, `names` hashes their ids.
    pub(crate) fn new(follows: &[Follow], names: Names, start: Instant) -> Self {
        Self {
            follows: follows.to_owned(),
            names,
            start,
            list: Mutex::default(),
        }
    }

    /// Now, on the clock that began before the round's.
    pub(crate) fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// A time of the round's clock on this one.
    pub(crate) fn since_start(&self, clock: Clock, at_us: u64) -> u64 {
        micros(clock.instant(at_us).into_std().saturating_duration_since(self.start))
    }

    /// Notes an acknowledged request of endpoint `endpoint`, if it is followed; `times_us` are those of `clock`: when
    /// it was meant to be sent, and when it was.
    pub(crate) fn acknowledged(&self, endpoint: usize, vars: &Vars, times_us: (u64, u64), clock: Clock) {
        for follow in self.follows.iter().filter(|follow| follow.endpoint == endpoint) {
            let about = follow.about.as_ref().map(|about| self.hash(about, vars));
            self.note(self.hash(&follow.id, vars), about, times_us, clock);
        }
    }

    /// Notes a write that is known by a hash.
    pub(crate) fn note(&self, id: u64, about: Option<u64>, (intended_us, sent_us): (u64, u64), clock: Clock) {
        let write = Write {
            id,
            about,
            intended_us: self.since_start(clock, intended_us),
            sent_us: self.since_start(clock, sent_us),
        };
        self.list().push(write);
    }

    /// The hash of a text.
    pub(crate) fn hash(&self, template: &Template, vars: &Vars) -> u64 {
        self.names.hash(&text(template, vars))
    }

    pub(crate) fn list(&self) -> MutexGuard<'_, Vec<Write>> {
        self.list.lock().expect("nothing panics while holding it")
    }

    /// When the message of the last write is too late; none without a write.
    pub(crate) fn last_due(&self, within_us: u64) -> Option<Instant> {
        let last_us = self.list().iter().map(|write| write.intended_us).max()?;
        Some(self.start + Duration::from_micros(last_us + within_us))
    }
}

/// Counts what was owed in one round, by the phase in which the write behind it was due.
pub(crate) struct Tally {
    recorder: RoundRecorder,
    shard: Shard,
    times: Times,
}

/// Times by which is counted, microseconds.
struct Times {
    /// When the round's clock began, on that of the writes.
    began: u64,
    /// Now, on the round's clock.
    now: u64,
    /// How long a message may take.
    within: u64,
}

/// The one name that a tally counts.
const OWED: &str = "owed";

impl Tally {
    pub(crate) fn new(windows: Windows, clock: Clock, writes: &Writes, within_us: u64) -> Self {
        let recorder = RoundRecorder::new(vec![OWED.to_owned()], windows).with_late_answers();
        Self {
            shard: recorder.shard(),
            recorder,
            times: Times {
                began: writes.since_start(clock, 0),
                now: clock.now_us(),
                within: within_us,
            },
        }
    }

    /// Counts one message that was owed: as answered when it came once and in time, as timed out when it came too late
    /// or should have come by now, as an unexpected answer for each time that it came again.
    pub(crate) fn count(&mut self, owed: &Owed) {
        let times = &self.times;
        let on_round = |at_us: u64| at_us.saturating_sub(times.began);
        let (intended_us, sent_us) = (on_round(owed.write.intended_us), on_round(owed.write.sent_us));
        let due_us = intended_us + times.within;
        let ended = |ended_us: u64, outcome: RequestEnd| Request {
            endpoint: 0,
            intended_us,
            sent_us,
            ended_us: ended_us.max(sent_us),
            waited_us: 0,
            outcome,
        };
        let came_us = owed.came_us.map(on_round);
        match came_us {
            Some(came_us) if came_us <= due_us => self.shard.ended(ended(came_us, RequestEnd::Ok { bytes: 0 })),
            None if due_us > times.now => self.shard.unfinished(Unfinished {
                endpoint: 0,
                intended_us,
                sent_us,
                given_up_us: times.now,
            }),
            _ => self
                .shard
                .ended(ended(due_us, RequestEnd::Failed(FailureClass::TimeOut))),
        }
        for _ in 0..owed.again {
            let at_us = came_us.unwrap_or(due_us);
            self.shard
                .ended(ended(at_us, RequestEnd::Failed(FailureClass::Unexpected)));
        }
    }

    /// Warm-up, measured phase and drain.
    pub(crate) fn phases(self) -> Vec<EndpointCounts> {
        counts_of(&self.recorder, &self.shard, self.times.now)
    }
}

/// Warm-up, measured phase and drain of a recorder with one name, in a round that ended at `ended_us`.
pub(crate) fn counts_of(recorder: &RoundRecorder, shard: &Shard, ended_us: u64) -> Vec<EndpointCounts> {
    let phases = recorder.finish([shard], ended_us).phases.into_iter();
    phases
        .map(|phase| phase.endpoints.into_values().next().unwrap_or_default())
        .collect()
}

/// The text of a template.
pub(crate) fn text(template: &Template, vars: &Vars) -> String {
    let mut text = String::new();
    template.render(vars, &mut text);
    text
}

/// A string without its quotes; everything else as JSON writes it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
