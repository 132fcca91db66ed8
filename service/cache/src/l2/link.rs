//! The connection for commands, and the proof that goes with it: its server has the data that was seen last, and took a
//! write.
//!
//! A Redis that was away may have come back with old data: generations from before an invalidation, beside the entries
//! that they make valid. Whoever talks to it must first compare its run id, and that cannot be done by a connection
//! that replaces itself in silence. So one connection belongs to one run of the server: it is published here after the
//! handshake, and dropped for good with its first broken or refused command. Opening another is done by
//! [`super::L2::open`].

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;

/// The current connection, if there is one.
pub(super) struct Link {
    /// Read by every operation for the time of a clone; written when connections come and go.
    current: RwLock<Option<Live>>,
    next_number: AtomicU64,
    changed: Notify,
}

/// A connection whose server was looked at.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    /// Tells this connection from its successors.
    pub(super) number: u64,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            current: RwLock::new(None),
            next_number: AtomicU64::new(1),
            changed: Notify::new(),
        }
    }

    pub(super) fn current(&self) -> Option<Live> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A number for a connection that is being opened, so that its loss is known even before it is published.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn publish(&self, live: Live) {
        self.set(Some(live));
    }

    /// Gives up the connection of this number, if it is still the current one.
    pub(super) fn lose(&self, number: u64) {
        let is_current = self.current().is_some_and(|live| live.number == number);
        if is_current {
            self.set(None);
        }
    }

    /// Returns when there is a connection (`true`) or none (`false`).
    pub(super) async fn wait_until(&self, there: bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that a change between look and wait is not missed.
            changed.as_mut().enable();
            if self.current().is_some() == there {
                return;
            }
            changed.await;
        }
    }

    fn set(&self, live: Option<Live>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = live;
        self.changed.notify_waiters();
    }
}
