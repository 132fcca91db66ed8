//! Why requests failed: the class of each failure, and a few examples of every kind. The counts are in the shards; they
//! alone do not tell a user what to mend.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::Mutex,
};

use measure::record::{FailureClass, FailureGroup, MAX_FAILURE_EXAMPLES};
use nix::errno::Errno;

use crate::{answer::Malformed, connection::SendError, dial::DialError};

/// Groups kept per round. A server that makes up statuses does not fill the memory; the record counts all of them by
/// class.
const MAX_GROUPS: usize = 500;
/// Failures of a group that are looked at for a text that differs. Writing a text takes memory, and a server may fail
/// every request.
const MAX_LOOKED_AT: u64 = 100;

/// The part of a whole answer that was not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Another status.
    Status(u16),
    /// A header or the body, in words.
    Content(String),
}

/// A kind of failure of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    /// Index into the workload's endpoints.
    pub(crate) endpoint: usize,
    pub(crate) class: FailureClass,
    pub(crate) status: Option<u16>,
}

/// Failures of a round, by kind.
#[derive(Debug, Default)]
pub(crate) struct FailureExamples {
    groups: Mutex<BTreeMap<Kind, Group>>,
}

#[derive(Debug, Default)]
struct Group {
    count: u64,
    examples: Vec<String>,
}

impl FailureExamples {
    /// Counts a failure. Its text is asked for only while examples are wanted.
    pub(crate) fn add(&self, kind: Kind, text: impl FnOnce() -> String) {
        let mut groups = self.groups.lock().expect("nothing panics while holding it");
        let is_known = groups.len() < MAX_GROUPS || groups.contains_key(&kind);
        let kind = if is_known { kind } else { Kind { status: None, ..kind } };
        let group = groups.entry(kind).or_default();
        group.count += 1;
        if group.count <= MAX_LOOKED_AT && group.examples.len() < MAX_FAILURE_EXAMPLES {
            let text = printable(&text()).into_owned();
            if !group.examples.contains(&text) {
                group.examples.push(text);
            }
        }
    }

    /// All groups with the names of their endpoints, most frequent first.
    pub(crate) fn groups(&self, endpoints: &[&str]) -> Vec<FailureGroup> {
        let groups = self.groups.lock().expect("nothing panics while holding it");
        let named: Vec<FailureGroup> = groups
            .iter()
            .map(|(kind, group)| FailureGroup {
                endpoint: endpoints[kind.endpoint].to_owned(),
                class: kind.class,
                status: kind.status,
                count: group.count,
                examples: group.examples.clone(),
            })
            .collect();
        let mut sum = Vec::new();
        FailureGroup::merge(&mut sum, &named);
        sum
    }
}

/// The class of a request that got no whole answer.
pub(crate) fn class_of(error: &SendError) -> FailureClass {
    match error {
        SendError::Timeout(_) => FailureClass::TimeOut,
        SendError::Dial(DialError::Connect(error)) if is_own_limit(error) => FailureClass::Generator,
        SendError::Dial(_) => FailureClass::Refused,
        SendError::Broken(_) => FailureClass::Reset,
        SendError::Malformed(Malformed::Cut | Malformed::Nothing) => FailureClass::Truncated,
        SendError::Stream(error) => class_of_stream(error),
        // The value came from an answer.
        SendError::Malformed(_) | SendError::Spoilt | SendError::Astray(_) => FailureClass::Unexpected,
    }
}

/// The class of a stream of HTTP/2 that was not answered to its end.
fn class_of_stream(error: &h2::Error) -> FailureClass {
    // A connection that was closed between frames reads as a broken pipe.
    let is_cut = |error: &io::Error| matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof);
    match error.get_io() {
        Some(error) if is_cut(error) => FailureClass::Truncated,
        Some(_) => FailureClass::Reset,
        None if error.reason() == Some(h2::Reason::NO_ERROR) => FailureClass::Truncated,
        None if error.is_remote() => FailureClass::Reset,
        None => FailureClass::Unexpected,
    }
}

/// Whether a connection could not be made for want of something of our own: file descriptors, ports, memory.
fn is_own_limit(error: &io::Error) -> bool {
    let own = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::EADDRNOTAVAIL,
        Errno::ENOBUFS,
        Errno::ENOMEM,
    ];
    let is_own = |errno: &Errno| error.raw_os_error() == Some(*errno as i32);
    own.iter().any(is_own) || error.kind() == ErrorKind::OutOfMemory
}

/// Text from elsewhere as it may be shown on a terminal: what would act there (control characters, and those that turn
/// the direction of writing) stands as an escape. Line breaks and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16) -> Kind {
        Kind {
            endpoint: 0,
            class: FailureClass::Status,
            status: Some(status),
        }
    }

    /// Bodies of errors carry ids and times: exact texts would be as many groups as failures.
    #[test]
    fn failures_are_grouped_by_kind_and_not_by_text() {
        let failures = FailureExamples::default();
        for id in 0..52 {
            failures.add(kind(500), || format!("request {id} failed"));
        }
        failures.add(kind(503), || "busy".to_owned());
        let groups = failures.groups(&["items"]);
        let shown: Vec<_> = groups.iter().map(|group| (group.kind(), group.count)).collect();
        assert_eq!(shown, [("status 500".to_owned(), 52), ("status 503".to_owned(), 1)]);
        assert_eq!(
            groups[0].examples,
            ["request 0 failed", "request 1 failed", "request 2 failed"]
        );
    }

    #[test]
    fn groups_are_bounded_and_nothing_is_left_uncounted() {
        let failures = FailureExamples::default();
        for status in 100..1_000 {
            failures.add(kind(status), || "no".to_owned());
        }
        let groups = failures.groups(&["items"]);
        assert_eq!(groups.len(), MAX_GROUPS + 1);
        assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 900);
        assert_eq!((groups[0].status, groups[0].count), (None, 400));
    }

    #[test]
    fn texts_are_written_only_while_they_are_wanted() {
        let failures = FailureExamples::default();
        let mut written = 0;
        for _ in 0..10_000 {
            failures.add(kind(500), || {
                written += 1;
                "always the same".to_owned()
            });
        }
        assert_eq!(written, MAX_LOOKED_AT);
    }

    #[test]
    fn what_acts_on_a_terminal_is_shown_as_an_escape() {
        assert_eq!(printable("\u{1b}[31mred\u{7}\u{9b}2J"), "\\u{1b}[31mred\\u{7}\\u{9b}2J");
        assert_eq!(printable("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(printable("two\nlines\tof é"), "two\nlines\tof é");
    }

    #[test]
    fn what_the_generator_lacks_is_not_the_subjects_fault() {
        let class = |errno: Errno| {
            let error = DialError::Connect(io::Error::from_raw_os_error(errno as i32));
            class_of(&SendError::Dial(error))
        };
        assert_eq!(class(Errno::EMFILE), FailureClass::Generator);
        assert_eq!(class(Errno::EADDRNOTAVAIL), FailureClass::Generator);
        assert_eq!(class(Errno::ECONNREFUSED), FailureClass::Refused);
        assert_eq!(class(Errno::EHOSTUNREACH), FailureClass::Refused);
    }
}
