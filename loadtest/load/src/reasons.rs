//! Why something went wrong, and how often: a bounded count of texts.

use std::{collections::BTreeMap, fmt::Display, sync::Mutex};

/// Different reasons that are kept.
const MAX_REASONS: usize = 16;

/// Reasons, each with a count.
#[derive(Debug, Default)]
pub(crate) struct Reasons(Mutex<BTreeMap<String, u64>>);

impl Reasons {
    pub(crate) fn note(&self, why: &impl Display) {
        let mut reasons = self.0.lock().expect("nothing panics while holding it");
        let why = why.to_string();
        let why = if reasons.len() < MAX_REASONS || reasons.contains_key(&why) {
            why
        } else {
            "others".to_owned()
        };
        *reasons.entry(why).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("nothing panics while holding it").clone()
    }
}
