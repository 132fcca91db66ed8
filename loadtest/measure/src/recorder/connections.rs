//! Counters of the connections that one worker made, by phase.

use hdrhistogram::Histogram;

use super::PHASES;
use crate::histogram::{self, SliceHistogram, add_same_layout, clamp_us};
use crate::record::Connections;

/// A connection that was made; times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// When the request that needed it was due, since the round's start: its phase is the connection's.
    pub at_us: u64,
    /// Until TCP was connected.
    pub connect_us: u64,
    /// The TLS handshake behind it.
    pub handshake: Option<Handshaken>,
}

/// A TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshaken {
    /// Its length.
    pub took_us: u64,
    /// Whether it went on with an earlier session.
    pub is_resumed: bool,
}

/// Times of the steps of one phase. They are shown, not judged: 1 % precision costs a seventh of the memory.
#[derive(Debug, Clone)]
struct OfPhase {
    connect: Histogram<u32>,
    full: Histogram<u32>,
    resumed: Histogram<u32>,
    waits: Histogram<u32>,
}

/// Connections by phase.
#[derive(Debug, Clone)]
pub(super) struct ConnectionCounter {
    phases: [OfPhase; PHASES],
}

impl ConnectionCounter {
    pub(super) fn new() -> Self {
        Self {
            phases: [(); PHASES].map(|()| OfPhase {
                connect: histogram::coarse(),
                full: histogram::coarse(),
                resumed: histogram::coarse(),
                waits: histogram::coarse(),
            }),
        }
    }

    pub(super) fn opened(&mut self, phase: usize, opened: Opened) {
        let of = &mut self.phases[phase];
        of.connect.saturating_record(clamp_us(opened.connect_us));
        if let Some(handshake) = opened.handshake {
            let times = if handshake.is_resumed {
                &mut of.resumed
            } else {
                &mut of.full
            };
            times.saturating_record(clamp_us(handshake.took_us));
        }
    }

    pub(super) fn waited(&mut self, phase: usize, waited_us: u64) {
        self.phases[phase].waits.saturating_record(clamp_us(waited_us));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, other) in self.phases.iter_mut().zip(&other.phases) {
            add_same_layout(&mut sum.connect, &other.connect);
            add_same_layout(&mut sum.full, &other.full);
            add_same_layout(&mut sum.resumed, &other.resumed);
            add_same_layout(&mut sum.waits, &other.waits);
        }
    }

    pub(super) fn of_phase(&self, phase: usize) -> Connections {
        let of = &self.phases[phase];
        Connections {
            opened: of.connect.len(),
            full_handshakes: of.full.len(),
            resumed_handshakes: of.resumed.len(),
            stream_waits: of.waits.len(),
            connect_hdr: encoded(&of.connect),
            full_handshake_hdr: encoded(&of.full),
            resumed_handshake_hdr: encoded(&of.resumed),
            stream_wait_hdr: encoded(&of.waits),
        }
    }
}

fn encoded(times: &Histogram<u32>) -> Option<String> {
    (!times.is_empty()).then(|| SliceHistogram::from_counts(times).encode())
}
