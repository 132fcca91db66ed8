//! The life of the topic that live clients follow, kept beside the data: positions of clients name it.

use sqlx::{FromRow, PgPool};

use super::StoreError;
use super::ask::Ask as _;

/// A topic as the replicas have seen it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LiveStream {
    /// Counts the topics that had this name: one that was made anew has another.
    pub epoch: i64,
    /// Where its partitions ended when a replica last looked; within an epoch they only grow.
    pub ends: Vec<i64>,
}

/// The topic as it is known, from its first epoch on.
pub async fn known(pool: &PgPool, topic: &str) -> Result<LiveStream, StoreError> {
    // The update that changes nothing makes the row that is there come back.
    sqlx::query(
        "INSERT INTO live_streams AS known (topic, ends) VALUES ($1, '{}')
         ON CONFLICT (topic) DO UPDATE SET topic = known.topic
         RETURNING epoch, ends",
    )
    .bind(topic)
    .one(pool, "read the life of a topic")
    .await
}

/// Notes that the partitions of `topic` end at least there, in this epoch; in another, nothing.
pub async fn advance(pool: &PgPool, topic: &str, epoch: i64, ends: &[i64]) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE live_streams known
            SET ends = array(SELECT greatest(was, now)
                               FROM unnest(known.ends, $3::bigint[]) WITH ORDINALITY AS end_of (was, now, place)
                              ORDER BY place)
          WHERE topic = $1 AND epoch = $2",
    )
    .bind(topic)
    .bind(epoch)
    .bind(ends)
    .run(pool, "note where a topic ends")
    .await
}

/// Begins the next epoch of `topic`, unless another replica has begun it. The caller guarantees that the topic of
/// `epoch` is no more.
pub async fn begin_anew(pool: &PgPool, topic: &str, epoch: i64, ends: &[i64]) -> Result<(), StoreError> {
    sqlx::query("UPDATE live_streams SET epoch = epoch + 1, ends = $3 WHERE topic = $1 AND epoch = $2")
        .bind(topic)
        .bind(epoch)
        .bind(ends)
        .run(pool, "begin the next epoch of a topic")
        .await
}
