//! An outbox in memory; the real one is a table of the service's database.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tiered_cache::{OutboxRow, Tag};

/// Committed invalidations, which every replica of a test sees.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Committed>>);

/// Tags by id, and whether they are done.
type Committed = BTreeMap<i64, (Vec<Tag>, bool)>;

impl Outbox {
    /// Notes an invalidation of `tag`; returns its id.
    pub(crate) fn commit(&self, tag: &str) -> i64 {
        let mut rows = self.lock();
        let id = rows.last_key_value().map_or(1, |(id, _)| id + 1);
        rows.insert(id, (vec![Tag::new(tag)], false));
        id
    }

    /// Marks a row as done, as its writer does.
    pub(crate) fn mark_done(&self, id: i64) {
        if let Some((_, done)) = self.lock().get_mut(&id) {
            *done = true;
        }
    }

    /// How many rows are not done.
    pub(crate) fn open(&self) -> usize {
        self.lock().values().filter(|(_, done)| !done).count()
    }

    fn rows(&self, limit: usize) -> Vec<OutboxRow> {
        let rows = self.lock();
        let open = rows.iter().filter(|(_, (_, done))| !done).take(limit);
        open.map(|(&id, (tags, _))| OutboxRow { id, tags: tags.clone() })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Committed> {
        self.0.lock().expect("whole")
    }
}

impl tiered_cache::Outbox for Outbox {
    type Error = std::io::Error;

    async fn unconfirmed(&self, limit: usize) -> Result<Vec<OutboxRow>, Self::Error> {
        Ok(self.rows(limit))
    }

    async fn claim(&self, limit: usize) -> Result<Vec<OutboxRow>, Self::Error> {
        Ok(self.rows(limit))
    }

    async fn confirm(&self, ids: &[i64]) -> Result<(), Self::Error> {
        for &id in ids {
            self.mark_done(id);
        }
        Ok(())
    }

    async fn reopen(&self, _window: Duration) -> Result<(), Self::Error> {
        self.lock().values_mut().for_each(|(_, done)| *done = false);
        Ok(())
    }
}

/// The same rows, all of which somebody else has claimed and does not get done.
pub(crate) struct ClaimedByOthers(Outbox);

impl Outbox {
    pub(crate) fn claimed_by_others(&self) -> ClaimedByOthers {
        ClaimedByOthers(self.clone())
    }
}

impl tiered_cache::Outbox for ClaimedByOthers {
    type Error = std::io::Error;

    async fn unconfirmed(&self, limit: usize) -> Result<Vec<OutboxRow>, Self::Error> {
        self.0.unconfirmed(limit).await
    }

    async fn claim(&self, _limit: usize) -> Result<Vec<OutboxRow>, Self::Error> {
        Ok(Vec::new())
    }

    async fn confirm(&self, ids: &[i64]) -> Result<(), Self::Error> {
        self.0.confirm(ids).await
    }

    async fn reopen(&self, window: Duration) -> Result<(), Self::Error> {
        self.0.reopen(window).await
    }
}
