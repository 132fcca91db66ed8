//! The write side: Redis first, then this replica, then the caller. Also repeats what Redis did not take, and empties
//! by tag, endpoint and pattern.

use std::sync::Arc;

use crate::{
    context::Step,
    entry::{Flushed, Invalidated},
    error::{InvalidateError, RedisFailure},
    l2::L2,
    pattern,
    place::Place,
    state::Core,
    tag::Tag,
};

/// Tags in one repeated invalidation: a script of some milliseconds, so that Redis serves others in between.
const REPEAT_TAGS: usize = 1_000;

impl Core {
    /// Ends every answer that depends on one of `tags`, everywhere if Redis takes it, here in any case.
    pub(crate) async fn invalidate(self: &Arc<Self>, tags: &[Tag]) -> Result<Invalidated, InvalidateError> {
        if self.l2.is_none() || tags.is_empty() {
            self.l1.stamps().bump(tags);
            return Ok(Invalidated { place: None });
        }
        // Its own task: a caller that goes away between Redis and the stamps would leave this replica stale.
        let job = tokio::spawn(publish(Arc::clone(self), tags.to_vec()));
        let result = job.await.unwrap_or_else(|_| {
            self.distrust(tags);
            Err(RedisFailure::Aborted)
        });
        result
            .map(|place| Invalidated { place: Some(place) })
            .map_err(|cause| InvalidateError {
                tags: tags.len(),
                cause,
            })
    }

    /// Whether an invalidation would get through, as far as is known.
    pub(crate) fn can_invalidate(&self) -> bool {
        self.l2.as_ref().is_none_or(L2::is_usable)
    }

    /// Repeats invalidations that Redis did not take. Called on a timer; stops at the first that fails again.
    pub(crate) async fn repeat_failed(self: &Arc<Self>) {
        loop {
            let tags = self.bypass.to_repeat(REPEAT_TAGS);
            let count = tags.len();
            if count == 0 || publish(Arc::clone(self), tags).await.is_err() {
                return;
            }
            tracing::info!(tags = count, "invalidations that Redis had not taken were repeated");
        }
    }

    /// Ends every answer that `pattern` could mean, then frees their memory in Redis.
    pub(crate) async fn flush_matching(self: &Arc<Self>, pattern: &str) -> Result<Flushed, InvalidateError> {
        let fence = pattern::fence(pattern, &self.endpoints.names());
        // The fence first: it is what ends the answers, everywhere and at once. What is freed then is dead already.
        let invalidated = self.invalidate(&fence.tags).await?;
        let unlinked = match &self.l2 {
            Some(l2) => unlink(l2, &fence.endpoints).await,
            None => Ok(0),
        };
        let freed = unlinked.map_err(|cause| InvalidateError {
            tags: fence.tags.len(),
            cause,
        })?;
        Ok(Flushed {
            place: invalidated.place,
            tags: fence.tags,
            freed,
        })
    }

    /// Redis still has the old generations of `tags`. First the set, then the stamps: a load that starts with the new
    /// stamps must find the tags in the set, or it would take an old entry out of Redis as new.
    pub(crate) fn distrust(&self, tags: &[Tag]) {
        if self.l2.is_some() {
            self.bypass.add(tags);
        }
        self.l1.stamps().bump(tags);
    }
}

/// First Redis, then the stamps: bumped earlier, a load here could refill L1 from an entry that Redis still takes for
/// valid, and nothing would end it.
async fn publish(core: Arc<Core>, tags: Vec<Tag>) -> Result<Place, RedisFailure> {
    let Some(l2) = &core.l2 else {
        return Err(RedisFailure::Aborted);
    };
    let started = core.context.now();
    core.context.reach(Step::InvalidationBegins).await;
    let began = core.bypass.mark();
    let result = l2.invalidate(&tags).await;
    core.context.reach(Step::RedisInvalidated).await;
    if result.is_ok() {
        core.bypass.confirm(&tags, began);
        core.l1.stamps().bump(&tags);
    } else {
        core.distrust(&tags);
    }
    core.context
        .observe(|observer| observer.invalidated(tags.len(), core.context.since(started), result.is_ok()));
    result
}

/// Frees the entries of these endpoints; of all, if none is named.
async fn unlink(l2: &L2, endpoints: &[String]) -> Result<u64, RedisFailure> {
    if endpoints.is_empty() {
        return l2.unlink_entries(None).await;
    }
    let mut freed = 0;
    for endpoint in endpoints {
        freed += l2.unlink_entries(Some(endpoint)).await?;
    }
    Ok(freed)
}
