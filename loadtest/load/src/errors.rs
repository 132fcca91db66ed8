//! A few examples of what went wrong: counts alone do not tell a user what to mend.

use std::{collections::BTreeMap, sync::Mutex};

/// Kinds of error kept per round: enough to see every cause, few enough to read.
const MAX_KINDS: usize = 8;

/// Error messages with how often each occurred.
#[derive(Debug, Default)]
pub(crate) struct ErrorExamples {
    kinds: Mutex<BTreeMap<String, u64>>,
}

impl ErrorExamples {
    /// Counts `message`; a new kind beyond the bound is counted as "other".
    pub(crate) fn add(&self, message: String) {
        let mut kinds = self.kinds.lock().expect("nothing panics while holding it");
        let key = if kinds.len() < MAX_KINDS || kinds.contains_key(&message) {
            message
        } else {
            "other".to_owned()
        };
        *kinds.entry(key).or_default() += 1;
    }

    /// "12x GET /risk/7/current: expected 200, got 500", most frequent first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kinds = self.kinds.lock().expect("nothing panics while holding it");
        let mut counted: Vec<(&String, &u64)> = kinds.iter().collect();
        counted.sort_by(|a, b| b.1.cmp(a.1));
        counted
            .into_iter()
            .map(|(message, count)| format!("{count}x {message}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_bounded_and_sorted_by_frequency() {
        let examples = ErrorExamples::default();
        for kind in 0..20 {
            examples.add(format!("kind {kind}"));
        }
        examples.add("kind 3".to_owned());
        let lines = examples.lines();
        assert_eq!(lines.len(), MAX_KINDS + 1);
        assert_eq!(lines[0], "12x other");
        assert_eq!(lines[1], "2x kind 3");
    }
}
