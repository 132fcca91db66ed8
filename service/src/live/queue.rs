//! What waits for one client, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

use super::protocol::Close;
use crate::metrics::LiveMetrics;

/// A frame that is shared by all who get it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) text: Utf8Bytes,
    /// Events in it.
    pub(super) events: u64,
    /// When the oldest of them happened, in milliseconds since 1970.
    pub(super) at_ms: Option<i64>,
}

impl Frame {
    /// A frame that holds no events.
    pub(super) fn notice(text: String) -> Self {
        Self {
            text: text.into(),
            events: 0,
            at_ms: None,
        }
    }
}

/// What the session has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Send these, in order.
    Frames(Vec<Frame>),
    /// Ask whether the client is there.
    Ping,
    /// End the connection.
    Close(Close),
}

/// Frames that the session takes at once: they go out in one write.
const AT_ONCE: usize = 32;

/// Room beyond the bound for answers and announcements, which must not get lost: some hundreds of them.
const NOTICES_BYTES: usize = 32 * 1024;

/// Shared between a client's session and its shard.
#[derive(Debug)]
pub(super) struct ClientQueue {
    /// Held for a push or a pop; never across an await.
    state: Mutex<State>,
    wake: Notify,
    max_bytes: usize,
    metrics: LiveMetrics,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Events that found no room and are not announced yet.
    dropped: u64,
    ping_due: bool,
    close: Option<Close>,
    /// When the session last took something, or found nothing to take.
    taken_at: Instant,
    heard_at: Instant,
}

impl ClientQueue {
    pub(super) fn new(max_bytes: usize, metrics: LiveMetrics) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            state: Mutex::new(State {
                frames: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                ping_due: false,
                close: None,
                taken_at: now,
                heard_at: now,
            }),
            wake: Notify::new(),
            max_bytes,
            metrics,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in, behind the announcement of those that found no room before; without room it is dropped.
    pub(super) fn push(&self, frame: Frame) {
        let mut state = self.state();
        if state.close.is_some() {
            return;
        }
        // One frame always fits: there would be no hope for it otherwise.
        if !state.frames.is_empty() && state.bytes + frame.text.len() > self.room(&frame) {
            if frame.events == 0 {
                // It asks and asks, and takes no answer.
                self.clear(&mut state);
                state.close = Some(Close::Slow);
                self.wake.notify_one();
            }
            state.dropped += frame.events;
            self.metrics.dropped.inc_by(frame.events);
            return;
        }
        if state.frames.is_empty() {
            state.taken_at = Instant::now();
        }
        if let Some(announcement) = state.announcement() {
            self.put(&mut state, announcement);
        }
        self.put(&mut state, frame);
        drop(state);
        self.wake.notify_one();
    }

    fn room(&self, frame: &Frame) -> usize {
        self.max_bytes + if frame.events == 0 { NOTICES_BYTES } else { 0 }
    }

    fn put(&self, state: &mut State, frame: Frame) {
        self.metrics.queued_bytes.inc_by(signed(frame.text.len()));
        state.bytes += frame.text.len();
        state.frames.push_back(frame);
    }

    /// Has the session ask whether the client is there.
    pub(super) fn ping(&self) {
        self.state().ping_due = true;
        self.wake.notify_one();
    }

    /// Has the session end the connection: at once for a client that takes nothing, else behind what waits.
    pub(super) fn close(&self, why: Close) {
        let mut state = self.state();
        if matches!(why, Close::Slow | Close::Silent) {
            self.clear(&mut state);
        }
        state.close.get_or_insert(why);
        drop(state);
        self.wake.notify_one();
    }

    fn clear(&self, state: &mut State) {
        self.metrics.queued_bytes.dec_by(signed(state.bytes));
        state.frames.clear();
        state.bytes = 0;
    }

    /// The client has said something.
    pub(super) fn heard(&self) {
        self.state().heard_at = Instant::now();
    }

    /// Why the connection has to end, if the client has taken nothing for `slow`, though something waits, or said
    /// nothing for `silent`.
    pub(super) fn overdue(&self, slow: Duration, silent: Duration) -> Option<Close> {
        let state = self.state();
        let waits = !state.frames.is_empty() || state.dropped > 0;
        if waits && state.taken_at.elapsed() > slow {
            Some(Close::Slow)
        } else {
            (state.heard_at.elapsed() > silent).then_some(Close::Silent)
        }
    }

    /// Waits for something to do. Safe to drop at any time.
    pub(super) async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.wake.notified().await;
        }
    }

    /// Waits until the connection has to end at once.
    pub(super) async fn forced(&self) -> Close {
        loop {
            let why = self.state().close;
            if let Some(why) = why.filter(|why| matches!(why, Close::Slow | Close::Silent)) {
                return why;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Option<Next> {
        let mut state = self.state();
        if state.frames.is_empty() {
            let announcement = state.announcement();
            state.frames.extend(announcement);
        }
        if !state.frames.is_empty() {
            let some = state.frames.len().min(AT_ONCE);
            let frames: Vec<Frame> = state.frames.drain(..some).collect();
            let bytes = frames
                .iter()
                .map(|frame| frame.text.len())
                .sum::<usize>()
                .min(state.bytes);
            state.bytes -= bytes;
            state.taken_at = Instant::now();
            self.metrics.queued_bytes.dec_by(signed(bytes));
            return Some(Next::Frames(frames));
        }
        if let Some(why) = state.close {
            return Some(Next::Close(why));
        }
        std::mem::take(&mut state.ping_due).then_some(Next::Ping)
    }
}

impl State {
    /// Tells of what was dropped, once. Its few bytes are not counted: it stands for many.
    fn announcement(&mut self) -> Option<Frame> {
        let events = std::mem::take(&mut self.dropped);
        (events > 0).then(|| Frame::notice(super::protocol::ToClient::Dropped { events }.text()))
    }
}

impl Drop for ClientQueue {
    fn drop(&mut self) {
        let bytes = self.state().bytes;
        self.metrics.queued_bytes.dec_by(signed(bytes));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const FRAME: usize = 100;

    fn queue(frames: usize) -> Arc<ClientQueue> {
        ClientQueue::new(frames * FRAME, Metrics::default().live)
    }

    fn frame(events: u64) -> Frame {
        Frame {
            text: "x".repeat(FRAME).into(),
            events,
            at_ms: None,
        }
    }

    fn texts(queue: &ClientQueue) -> Vec<String> {
        match queue.take() {
            Some(Next::Frames(frames)) => frames.iter().map(|frame| frame.text.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_finds_no_room_is_announced_with_its_count_before_what_comes_after() {
        let queue = queue(2);
        for events in [1, 1, 3, 4] {
            queue.push(frame(events));
        }
        assert_eq!(queue.metrics.dropped.get(), 7);
        assert_eq!(texts(&queue).len(), 2);
        queue.push(frame(1));
        let after = texts(&queue);
        assert_eq!(after.len(), 2, "{after:?}");
        assert!(after[0].contains("\"dropped\"") && after[0].contains('7'), "{after:?}");
        assert_eq!(
            queue.metrics.queued_bytes.get(),
            0,
            "all that was counted in is counted out"
        );
    }

    #[test]
    fn answers_fit_where_events_do_not_but_not_for_ever() {
        let queue = queue(1);
        queue.push(frame(1));
        let answers = NOTICES_BYTES / FRAME;
        (0..answers).for_each(|_| queue.push(frame(0)));
        assert!(!matches!(queue.take(), Some(Next::Close(_))));
        (0..2 * answers).for_each(|_| queue.push(frame(0)));
        assert!(matches!(queue.take(), Some(Next::Close(Close::Slow))));
    }

    #[test]
    fn what_was_dropped_is_announced_though_nothing_comes_after() {
        let queue = queue(1);
        queue.push(frame(1));
        queue.push(frame(5));
        assert_eq!(texts(&queue).len(), 1);
        assert!(texts(&queue)[0].contains('5'));
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_restart_waits_for_what_waits_and_a_slow_client_for_nothing() {
        let (restarted, slow) = (queue(2), queue(2));
        for (queue, why) in [(&restarted, Close::Restart), (&slow, Close::Slow)] {
            queue.push(frame(1));
            queue.close(why);
            queue.push(frame(1));
        }
        assert_eq!(texts(&restarted).len(), 1);
        assert!(matches!(restarted.take(), Some(Next::Close(Close::Restart))));
        assert!(matches!(slow.take(), Some(Next::Close(Close::Slow))));
    }

    #[test]
    fn one_that_takes_nothing_is_slow_and_one_that_says_nothing_is_silent() {
        let (long, never) = (Duration::from_mins(10), Duration::ZERO);
        let queue = queue(2);
        assert_eq!(queue.overdue(never, long), None, "nothing waits");
        assert_eq!(queue.overdue(long, never), Some(Close::Silent));
        queue.push(frame(1));
        assert_eq!(queue.overdue(long, long), None);
        assert_eq!(queue.overdue(never, long), Some(Close::Slow));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let queue = queue(2);
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next().await }
        });
        queue.ping();
        assert!(matches!(waiting.await, Ok(Next::Ping)));
    }
}
