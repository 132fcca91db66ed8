//! The names of keys and channels in Redis. What is kept under them is not here.

use crate::{key::Key, place::Token, tag::Tag};

/// Names in Redis. The namespace has no colon, so names of two namespaces never meet.
pub(crate) struct Names {
    pub(super) namespace: String,
    pub(super) life: String,
    pub(super) seq: String,
    pub(super) log: String,
    pub(super) run: String,
    pub(super) beat: String,
    pub(super) beats: String,
    /// No key and no lock has such a name: theirs begin with a digit.
    pub(super) proof_entry: String,
    pub(super) proof_lock: String,
    /// The channel of all invalidations.
    pub(crate) channel: String,
    /// The channel of this replica's own heartbeats.
    pub(crate) own_channel: String,
}

impl Names {
    pub(super) fn new(namespace: &str, origin: Token) -> Self {
        Self {
            namespace: namespace.to_owned(),
            life: format!("{namespace}:inv:life"),
            seq: format!("{namespace}:inv:seq"),
            log: format!("{namespace}:inv:log"),
            run: format!("{namespace}:inv:run"),
            beat: format!("{namespace}:inv:beat"),
            beats: format!("{namespace}:inv:beats"),
            proof_entry: format!("{namespace}:e:proof"),
            proof_lock: format!("{namespace}:l:proof"),
            channel: format!("{namespace}:inv"),
            own_channel: format!("{namespace}:inv:{origin}"),
        }
    }

    pub(super) fn entry(&self, key: &Key) -> String {
        format!("{}:e:{key}", self.namespace)
    }

    pub(super) fn lock(&self, key: &Key) -> String {
        format!("{}:l:{key}", self.namespace)
    }

    pub(super) fn planned(&self, name: &str) -> String {
        format!("{}:p:{name}", self.namespace)
    }

    pub(super) fn nonce(&self, tag: &Tag) -> String {
        format!("{}:g:{tag}", self.namespace)
    }

    pub(super) fn nonces(&self, tags: &[Tag]) -> Vec<String> {
        tags.iter().map(|tag| self.nonce(tag)).collect()
    }
}
