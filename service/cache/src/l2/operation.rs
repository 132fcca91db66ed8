//! What is asked of Redis, and what its outcome says about it. What follows from that is not decided here (see `L2`).

use redis::RedisError;

use super::refusal;

/// An operation, by its name in logs and metrics and by what its outcome says about Redis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) meaning: Meaning,
}

/// What the outcome of an operation says about Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It writes as an invalidation does: its success proves that Redis takes them, and any refusal that it does not.
    Proof,
    /// The protocol needs it: a refusal of service means that Redis is of no use. Its success proves nothing, because a
    /// Redis that refuses writes goes on answering reads.
    Need,
    /// For operators: whatever becomes of it says nothing about the protocol.
    Aside,
}

impl Operation {
    pub(super) const fn proof(name: &'static str) -> Self {
        Self {
            name,
            meaning: Meaning::Proof,
        }
    }

    pub(super) const fn need(name: &'static str) -> Self {
        Self {
            name,
            meaning: Meaning::Need,
        }
    }

    pub(super) const fn aside(name: &'static str) -> Self {
        Self {
            name,
            meaning: Meaning::Aside,
        }
    }

    /// Whether `error` says that Redis answers and yet is of no use.
    pub(super) fn is_refused(self, error: &RedisError) -> bool {
        match self.meaning {
            Meaning::Proof => refusal::is_answer(error),
            Meaning::Need => refusal::is_of_service(error),
            Meaning::Aside => false,
        }
    }
}
