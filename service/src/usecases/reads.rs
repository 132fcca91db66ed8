//! Reading: cache, then store. The body is serialised once, when it is loaded; a hit hands out a pointer to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tiered_cache::{Entry, LoadError, Place, Tier, TieredCache};

use super::cascade::{Endpoint, Question};
use super::loader::{LoadFailed, NO_VERSION};
use super::source::Answers;

/// An answer, ready to send.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The JSON body.
    pub body: Bytes,
    /// The version of the row behind it; `None` for answers made of many rows.
    pub version: Option<i64>,
    /// Where it came from.
    pub source: Source,
}

/// Where an answer came from: the value of the `x-cache` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The cache is on, and this tier answered.
    Cache(Tier),
    /// The cache is off: the store answered.
    Off,
}

impl Source {
    /// `l1`, `l2`, `db`, `stale` or `off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache(tier) => tier.as_str(),
            Self::Off => "off",
        }
    }
}

/// Why a question has no answer. All waiters of one load share one error.
pub type ReadError = LoadError<LoadFailed>;

/// Answers questions.
#[derive(Clone)]
pub struct Reads {
    answers: Arc<Answers>,
    cache: Option<TieredCache>,
}

impl Reads {
    /// Reads `answers`, through `cache` if there is one.
    pub fn new(answers: Arc<Answers>, cache: Option<TieredCache>) -> Self {
        Self { answers, cache }
    }

    /// The answer, or `None` when there is no such thing. With `known`, the asker knows of this invalidation, made by
    /// a write on any replica: it gets nothing older. The caller has made sure that the asker may see the answer.
    pub async fn ask_after(&self, known: Option<Place>, question: Question) -> Result<Option<Answer>, ReadError> {
        let (entry, source) = if let Some(cache) = &self.cache {
            self.ask_cache(cache, known, question).await?
        } else {
            let loaded = self.answers.load(question).await;
            let entry = loaded.map_err(|error| LoadError::Loader(Arc::new(error)))?;
            (entry, Source::Off)
        };
        Ok(entry.map(|Entry { body, version }| {
            let version = Some(version).filter(|version| *version != NO_VERSION);
            Answer { body, version, source }
        }))
    }

    /// How old the answers about the portfolio are that are served from memory now.
    pub fn ages_of_aggregates(&self) -> Vec<(Endpoint, Duration)> {
        let Some(cache) = &self.cache else { return Vec::new() };
        let ages = Question::ABOUT_ALL.into_iter().filter_map(|question| {
            let age = cache.age(&self.answers.key(question), &question.tags())?;
            Some((question.endpoint(), age))
        });
        ages.collect()
    }

    async fn ask_cache(
        &self,
        cache: &TieredCache,
        known: Option<Place>,
        question: Question,
    ) -> Result<(Option<Entry>, Source), ReadError> {
        let answers = Arc::clone(&self.answers);
        // The load owns what it needs, since it outlives a client that goes away.
        let loader = move || answers.load(question);
        let key = self.answers.key(question);
        let policy = self.answers.policy_of(question.endpoint());
        let served = cache
            .get_or_load_after(known, &key, &question.tags(), policy, loader)
            .await?;
        Ok((served.entry, Source::Cache(served.tier)))
    }
}
