//! The ground truth: a server that stalls for D at the beginning of every period P, and whose response times are known
//! exactly (docs/COSTS.md gives the formulas).

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use super::{Request, Response, Server};

/// More than a sleeping thread is usually late by.
const AWAKE: Duration = Duration::from_micros(300);

/// Of what is computed: periods after the first, and places of the first request.
const PERIODS: u32 = 16;
const OFFSETS: u32 = 50;

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
            self.serve();
            queue.leave();
            Response::ok("ok")
        })
    }

    /// A queue adds up what each of its services takes too long, so behind slots the last moment is spent awake.
    fn serve(self) {
        let end = Instant::now() + self.service;
        let awake = if self.slots.is_some() { AWAKE } else { Duration::ZERO };
        pause(self.service.saturating_sub(awake));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }

    /// Response times of evenly spaced requests over many periods, seconds, ascending. Of an unlimited server they
    /// follow the formulas; behind slots these are the limit of many small requests, and whole requests are up to
    /// `s (c - 1) / c` quicker, so they are served here one by one.
    pub(crate) fn responses_s(self, rate_per_s: f64) -> Vec<f64> {
        // Where in a period the first request comes is chance.
        let mut responses: Vec<f64> = (0..OFFSETS)
            .flat_map(|offset| self.responses_from(f64::from(offset) / f64::from(OFFSETS) / rate_per_s, rate_per_s))
            .collect();
        responses.sort_by(f64::total_cmp);
        responses
    }

    fn responses_from(self, first_s: f64, rate_per_s: f64) -> Vec<f64> {
        let (period_s, stall_s, service_s) = self.seconds();
        let arrivals = (0..).map(|index| first_s + f64::from(index) / rate_per_s);
        let mut busy_until_s = VecDeque::from(vec![0.0; self.slots.unwrap_or_default()]);
        arrivals
            .take_while(|arrival_s| *arrival_s < f64::from(1 + PERIODS) * period_s)
            .filter_map(|arrival_s| {
                // All take equally long, so that the slot that was taken first is free first.
                let free_s: f64 = busy_until_s.pop_front().unwrap_or_default();
                let start_s = free_s.max(arrival_s);
                let end_s = start_s + (stall_s - start_s % period_s).max(0.0) + service_s;
                if self.slots.is_some() {
                    busy_until_s.push_back(end_s);
                }
                // The first period fills the queue.
                (arrival_s >= period_s).then_some(end_s - arrival_s)
            })
            .collect()
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
