//! The rounds of automatic tuning: each looks at what happened since the last one, and moves what `tuning` decides.
//! What is pinned stays.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use crate::{
    endpoints::{Endings, Endpoint},
    state::Core,
    tuning::{Tuning, TuningLog, TuningStep, decide_size, decide_ttl, permille},
    upkeep::timer,
};

/// Tunes until the future is dropped.
pub(crate) async fn run(core: Arc<Core>, tuning: Tuning) -> Infallible {
    let Some(log) = &core.tuning else {
        return std::future::pending().await;
    };
    let mut timer = timer(tuning.period);
    // The first tick comes at once, before there is anything to decide on.
    timer.tick().await;
    let mut tuner = Tuner {
        core: &core,
        tuning,
        log,
        before: HashMap::new(),
    };
    loop {
        timer.tick().await;
        tuner.round();
    }
}

struct Tuner<'a> {
    core: &'a Core,
    tuning: Tuning,
    log: &'a TuningLog,
    before: HashMap<&'static str, Endings>,
}

impl Tuner<'_> {
    fn round(&mut self) {
        let mut total = Endings::default();
        for endpoint in self.core.endpoints.all() {
            let now = endpoint.endings();
            let before = self.before.insert(endpoint.name, now).unwrap_or_default();
            let endings = now.since(before);
            total = total.plus(endings);
            if !self.tuning.pinned_endpoints.contains(endpoint.name) {
                self.tune_ttl(&endpoint, endings);
            }
        }
        if !self.tuning.pinned_l1 {
            self.tune_size(total);
        }
    }

    fn tune_ttl(&self, endpoint: &Endpoint, endings: Endings) {
        let from = endpoint.ttl_permille();
        if let Some((to, reason)) = decide_ttl(endings, from, permille(self.tuning.max_ttl_factor)) {
            endpoint.set_ttl_permille(to);
            let what = format!("ttl:{}", endpoint.name);
            self.log.add(TuningStep { what, from, to, reason });
        }
    }

    fn tune_size(&self, endings: Endings) {
        let l1 = &self.core.l1;
        let (capacity, from) = (l1.capacity_bytes(), l1.size_bytes());
        let min = capacity * permille(self.tuning.min_l1_share.clamp(0.0, 1.0)) / 1_000;
        if let Some((to, reason)) = decide_size(endings, l1.weight_bytes(), from, (min, capacity)) {
            l1.resize(to);
            let what = "l1".to_owned();
            self.log.add(TuningStep { what, from, to, reason });
        }
    }
}
