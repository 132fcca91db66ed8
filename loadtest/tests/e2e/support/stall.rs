//! The ground truth: a server that stalls for D at the beginning of every period P, and whose response times are known
//! exactly (docs/MEASURING.md gives the formulas).

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use super::{Request, Response, Server};

/// How it stalls, and how many requests it serves at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    /// P.
    pub(crate) period: Duration,
    /// D.
    pub(crate) lasting: Duration,
    /// s.
    pub(crate) service: Duration,
    /// c slots in the order of arrival; none for as many as there are requests.
    pub(crate) slots: Option<usize>,
}

impl Stall {
    /// Starts it; the first stall begins now.
    pub(crate) fn start(self) -> Server {
        let began = Instant::now();
        let queue = Arc::new(Queue::new(self.slots.unwrap_or(usize::MAX)));
        Server::start(move |_: &Request| {
            queue.enter();
            let phase_us = began.elapsed().as_micros() % self.period.as_micros();
            let phase = Duration::from_micros(u64::try_from(phase_us).unwrap());
            pause(self.lasting.saturating_sub(phase));
            pause(self.service);
            queue.leave();
            Response::ok("ok")
        })
    }

    /// Share of its capacity that `rate_per_s` takes: rho.
    pub(crate) fn utilisation(self, rate_per_s: f64) -> f64 {
        self.slots
            .map_or(0.0, |slots| rate_per_s * self.service.as_secs_f64() / slots as f64)
    }

    /// Response time at quantile `q`, seconds.
    pub(crate) fn quantile_s(self, q: f64, rate_per_s: f64) -> f64 {
        let (period, stall, service) = self.seconds();
        let grows = 1.0 - self.utilisation(rate_per_s);
        if q <= 1.0 - stall / (grows * period) {
            service
        } else {
            service + stall - grows * period * (1.0 - q)
        }
    }

    /// Mean response time, seconds.
    pub(crate) fn mean_s(self, rate_per_s: f64) -> f64 {
        let (period, stall, service) = self.seconds();
        service + stall * stall / (2.0 * period * (1.0 - self.utilisation(rate_per_s)))
    }

    fn seconds(self) -> (f64, f64, f64) {
        (
            self.period.as_secs_f64(),
            self.lasting.as_secs_f64(),
            self.service.as_secs_f64(),
        )
    }
}

/// Waits exactly, as a service that takes that long: part of what is measured, not a wait for something to happen.
pub(crate) fn pause(length: Duration) {
    let end = Instant::now() + length;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// Slots that are given in the order of arrival.
struct Queue {
    state: Mutex<Waiting>,
}

struct Waiting {
    free: usize,
    line: VecDeque<Arc<Turn>>,
}

#[derive(Default)]
struct Turn {
    come: Mutex<bool>,
    changed: Condvar,
}

impl Queue {
    fn new(slots: usize) -> Self {
        Self {
            state: Mutex::new(Waiting {
                free: slots,
                line: VecDeque::new(),
            }),
        }
    }

    fn enter(&self) {
        let mut waiting = self.state.lock().unwrap();
        if waiting.free > 0 {
            waiting.free -= 1;
            return;
        }
        let turn = Arc::new(Turn::default());
        waiting.line.push_back(Arc::clone(&turn));
        drop(waiting);
        let come = turn.come.lock().unwrap();
        drop(turn.changed.wait_while(come, |come| !*come).unwrap());
    }

    fn leave(&self) {
        let mut waiting = self.state.lock().unwrap();
        match waiting.line.pop_front() {
            Some(turn) => {
                *turn.come.lock().unwrap() = true;
                turn.changed.notify_one();
            }
            None => waiting.free += 1,
        }
    }
}
