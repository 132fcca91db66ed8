//! Why requests have no answer as expected: counts by class, and examples.

use serde::{Deserialize, Serialize};

use super::is_zero;

/// Texts kept of one [`FailureGroup`]; the rest is only counted.
pub const MAX_FAILURE_EXAMPLES: usize = 3;

/// Why a request has no answer as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A whole answer, with another status than expected.
    Status,
    /// No answer within the endpoint's time-out.
    TimeOut,
    /// No connection could be made: refused, unreachable, or given up by the kernel.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection was closed before the answer was complete, or before it began.
    Truncated,
    /// An answer that is no HTTP, or whose headers or body are not as expected.
    Unexpected,
    /// Never sent: the generator had no file descriptor or no local port left. Its fault, not the subject's.
    Generator,
    /// Not answered when the phase was over: the censored requests.
    Unanswered,
}

impl FailureClass {
    /// All classes, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Status,
        Self::TimeOut,
        Self::Refused,
        Self::Reset,
        Self::Truncated,
        Self::Unexpected,
        Self::Generator,
        Self::Unanswered,
    ];

    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::TimeOut => "time-out",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Unexpected => "unexpected answer",
            Self::Generator => "generator's limit",
            Self::Unanswered => "not answered",
        }
    }
}

/// Requests without an answer as expected, by [`FailureClass`]; the sum is errors + censored. All 0 in records of
/// builds that did not count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Failures {
    /// Whole answers with another status than expected.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: u64,
    /// No answer within the endpoint's time-out.
    #[serde(skip_serializing_if = "is_zero")]
    pub time_out: u64,
    /// No connection could be made: refused, unreachable, or given up by the kernel.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// The connection was reset.
    #[serde(skip_serializing_if = "is_zero")]
    pub reset: u64,
    /// The connection was closed before the answer was complete, or before it began.
    #[serde(skip_serializing_if = "is_zero")]
    pub truncated: u64,
    /// Answers that are no HTTP, or whose headers or body are not as expected.
    #[serde(skip_serializing_if = "is_zero")]
    pub unexpected: u64,
    /// Never sent: the generator had no file descriptor or no local port left. Its fault, not the subject's.
    #[serde(skip_serializing_if = "is_zero")]
    pub generator: u64,
    /// Not answered when the phase was over: the censored requests.
    #[serde(skip_serializing_if = "is_zero")]
    pub unanswered: u64,
}

impl Failures {
    /// The count of one class.
    pub fn of(&self, class: FailureClass) -> u64 {
        match class {
            FailureClass::Status => self.status,
            FailureClass::TimeOut => self.time_out,
            FailureClass::Refused => self.refused,
            FailureClass::Reset => self.reset,
            FailureClass::Truncated => self.truncated,
            FailureClass::Unexpected => self.unexpected,
            FailureClass::Generator => self.generator,
            FailureClass::Unanswered => self.unanswered,
        }
    }

    /// Counts one more of a class.
    pub fn add(&mut self, class: FailureClass) {
        let count = match class {
            FailureClass::Status => &mut self.status,
            FailureClass::TimeOut => &mut self.time_out,
            FailureClass::Refused => &mut self.refused,
            FailureClass::Reset => &mut self.reset,
            FailureClass::Truncated => &mut self.truncated,
            FailureClass::Unexpected => &mut self.unexpected,
            FailureClass::Generator => &mut self.generator,
            FailureClass::Unanswered => &mut self.unanswered,
        };
        *count += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        FailureClass::ALL.into_iter().map(|class| self.of(class)).sum()
    }

    /// Those that ended: errors, without the censored ones.
    pub fn errors(&self) -> u64 {
        self.total() - self.unanswered
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what another worker, round or generator counted.
    pub fn merge(&mut self, other: &Self) {
        self.status += other.status;
        self.time_out += other.time_out;
        self.refused += other.refused;
        self.reset += other.reset;
        self.truncated += other.truncated;
        self.unexpected += other.unexpected;
        self.generator += other.generator;
        self.unanswered += other.unanswered;
    }

    /// Classes that occurred, in the order in which they are shown, e.g. "12 status, 3 time-out".
    pub fn describe(&self) -> String {
        let counted = FailureClass::ALL.into_iter().filter(|class| self.of(*class) > 0);
        let shown: Vec<String> = counted
            .map(|class| format!("{} {}", self.of(class), class.title()))
            .collect();
        shown.join(", ")
    }
}

/// Failures of one endpoint and kind in a round, warm-up and drain included, with a few of their texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailureGroup {
    /// The endpoint.
    pub endpoint: String,
    /// Their class.
    pub class: FailureClass,
    /// The status that was answered; of class `status` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many there were in the whole round.
    pub count: u64,
    /// The first texts that differ, at most 3 ([`MAX_FAILURE_EXAMPLES`]). Control characters are written as escapes.
    pub examples: Vec<String>,
}

impl FailureGroup {
    /// Its kind as people read it, e.g. `status 500`.
    pub fn kind(&self) -> String {
        match self.status {
            Some(status) => format!("{} {status}", self.class.title()),
            None => self.class.title().to_owned(),
        }
    }

    /// One line about it, e.g. `12x status 500 of items, such as: GET items: expected status [200], got 500`.
    pub fn describe(&self) -> String {
        let counted = format!("{}x {} of {}", self.count, self.kind(), self.endpoint);
        match self.examples.first() {
            Some(example) => format!("{counted}, such as: {example}"),
            None => counted,
        }
    }

    /// Whether `other` counts the same thing.
    fn is_like(&self, other: &Self) -> bool {
        (&self.endpoint, self.class, self.status) == (&other.endpoint, other.class, other.status)
    }

    /// Adds the groups of another worker, round or generator to `sum`, most frequent first.
    pub fn merge(sum: &mut Vec<Self>, others: &[Self]) {
        for other in others {
            match sum.iter_mut().find(|group| group.is_like(other)) {
                Some(group) => group.add(other),
                None => sum.push(other.clone()),
            }
        }
        sum.sort_by(|a, b| {
            let order = |group: &Self| (std::cmp::Reverse(group.count), group.class, group.status);
            order(a).cmp(&order(b)).then_with(|| a.endpoint.cmp(&b.endpoint))
        });
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        for example in &other.examples {
            if self.examples.len() < MAX_FAILURE_EXAMPLES && !self.examples.contains(example) {
                self.examples.push(example.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_counted_once_and_written_only_where_it_occurred() {
        let mut failures = Failures::default();
        assert!(failures.is_empty());
        assert_eq!(serde_json::to_string(&failures).unwrap(), "{}");
        for (times, class) in (1..).zip(FailureClass::ALL) {
            (0..times).for_each(|_| failures.add(class));
        }
        for (times, class) in (1..).zip(FailureClass::ALL) {
            assert_eq!(failures.of(class), times, "{class:?}");
        }
        assert_eq!((failures.total(), failures.errors()), (36, 28));
        let mut twice = failures;
        twice.merge(&failures);
        assert_eq!(twice.total(), 72);
        let text = serde_json::to_string(&twice).unwrap();
        assert_eq!(serde_json::from_str::<Failures>(&text).unwrap(), twice);
        assert_eq!(
            Failures {
                status: 12,
                unanswered: 3,
                ..Failures::default()
            }
            .describe(),
            "12 status, 3 not answered"
        );
    }

    #[test]
    fn groups_of_one_kind_become_one_and_keep_few_examples() {
        let group = |endpoint: &str, status, count, examples: &[&str]| FailureGroup {
            endpoint: endpoint.to_owned(),
            class: FailureClass::Status,
            status: Some(status),
            count,
            examples: examples.iter().map(|text| (*text).to_owned()).collect(),
        };
        let mut sum = vec![group("a", 500, 2, &["x", "y"])];
        FailureGroup::merge(
            &mut sum,
            &[group("a", 500, 3, &["y", "z", "w"]), group("a", 503, 9, &[])],
        );
        assert_eq!(sum, [group("a", 503, 9, &[]), group("a", 500, 5, &["x", "y", "z"])]);
        assert_eq!(sum[0].kind(), "status 503");
    }
}
