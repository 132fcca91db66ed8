//! Writes about one driver take turns before they take a database connection.
//!
//! In the database they would wait for each other all the same, for the driver's row, and each would hold a connection
//! meanwhile: one driver's device that sends often enough would leave none to the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::DriverId;

/// Writes about one driver that may wait, on a replica: at some 5 ms each, the last one waits a third of a second.
const WAITING_MAX: usize = 64;

/// One queue for each driver that is written about; only those are kept.
#[derive(Default)]
pub(super) struct Turns {
    /// Held for a look-up; never across an await.
    queues: Mutex<HashMap<DriverId, Queue>>,
}

struct Queue {
    turn: Arc<Semaphore>,
    /// Whoever waits, and who has the turn.
    members: usize,
}

/// A turn; given on when it is dropped.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _member: Member,
}

/// Place in a driver's queue.
struct Member {
    turns: Arc<Turns>,
    driver: DriverId,
}

impl Turns {
    /// Waits for a turn to write about `driver`; `None` when too many are waiting already.
    pub(super) async fn wait(self: &Arc<Self>, driver: DriverId) -> Option<Turn> {
        let (turn, member) = self.join(driver)?;
        Some(Turn {
            // Never closed.
            _permit: turn.acquire_owned().await.ok()?,
            _member: member,
        })
    }

    fn join(self: &Arc<Self>, driver: DriverId) -> Option<(Arc<Semaphore>, Member)> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(driver).or_insert_with(|| Queue {
            turn: Arc::new(Semaphore::new(1)),
            members: 0,
        });
        if queue.members > WAITING_MAX {
            return None;
        }
        queue.members += 1;
        let member = Member {
            turns: Arc::clone(self),
            driver,
        };
        Some((Arc::clone(&queue.turn), member))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut queues = self.turns.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get_mut(&self.driver) {
            queue.members -= 1;
            if queue.members == 0 {
                queues.remove(&self.driver);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_for_each_driver_and_nothing_is_kept_after() {
        let turns = Arc::new(Turns::default());
        let (one, two) = (DriverId(1), DriverId(2));
        let first = turns.wait(one).await.expect("a turn");
        let mut second = Box::pin(turns.wait(one));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.wait(two).now_or_never().flatten().is_some());
        drop(first);
        drop(second.await.expect("a turn"));
        assert!(turns.queues.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn beyond_the_bound_nobody_waits() {
        let turns = Arc::new(Turns::default());
        let _first = turns.wait(DriverId(1)).await.expect("a turn");
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(turns.wait(DriverId(1)))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
        assert!(turns.wait(DriverId(1)).await.is_none());
        drop(waiting);
        assert_eq!(turns.queues.lock().unwrap()[&DriverId(1)].members, 1);
    }
}
