//! What a measurement will do, fixed before it starts: load model, blocks, the order within them, durations, seeds.

use std::{sync::Arc, time::Duration};

use measure::gate::GateRules;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use scenarios::{Feature, OpenModel, Rate, Schedule, Workload};

use super::gate;
use crate::{
    cli::LoadArgs,
    error::HarnessError,
    load::LoadModel,
    subject::{Subject, Variable},
};

/// Streams of the seed: the order of launches must not share one with the users' choices.
const ORDER_STREAM: u64 = u64::MAX;

/// A measurement to be made: of one subject, or of two in alternation.
pub(crate) struct Plan {
    pub(crate) workload: Arc<Workload>,
    pub(crate) model: LoadModel,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) schedule: Schedule,
    pub(crate) seed: u64,
    pub(crate) purpose: Purpose,
    /// The command line that repeats it.
    pub(crate) command: String,
}

/// What the rounds of a plan are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Figures, targets and large effects: rounds of one launch each.
    Report,
    /// Small regressions: slices of two residents, interleaved.
    Gate,
    /// What each feature buys: the first subject has all of them, each other one lacks one.
    Ablation(Vec<Feature>),
}

/// One launch of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From 0.
    pub(crate) block: u32,
    /// Position in the whole run, from 0.
    pub(crate) order: u32,
    /// Index of the subject.
    pub(crate) subject: usize,
}

impl Plan {
    pub(crate) fn new(workload: Workload, model: LoadModel, subjects: Vec<Subject>, arguments: &LoadArgs) -> Self {
        let mut schedule = workload.schedule(arguments.quick);
        schedule.blocks = arguments.blocks.unwrap_or(schedule.blocks);
        schedule.measure_s = arguments.measure_s.unwrap_or(schedule.measure_s);
        Self {
            workload: Arc::new(workload),
            model,
            subjects,
            schedule,
            seed: arguments.seed,
            purpose: Purpose::Report,
            command: command_line(),
        }
    }

    /// The same load at another constant rate of arrivals, for other lengths; the closed model has no rate and stays.
    pub(crate) fn at_rate(&self, per_s: f64, schedule: Schedule) -> Self {
        let model = match &self.model {
            LoadModel::Open(model) => LoadModel::Open(OpenModel {
                rate: Rate::constant(per_s),
                ramp_s: 0.0,
                ..model.clone()
            }),
            LoadModel::Closed(model) => LoadModel::Closed(*model),
        };
        Self {
            workload: Arc::clone(&self.workload),
            model,
            subjects: self.subjects.clone(),
            schedule,
            seed: self.seed,
            command: self.command.clone(),
            purpose: self.purpose.clone(),
        }
    }

    /// The same as a gate: its `blocks` are those of a stage, its `measure_s` is that of a slice.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] for what cannot be gated, and for subjects that are unlike.
    pub(crate) fn into_gate(mut self, arguments: &LoadArgs) -> Result<Self, HarnessError> {
        gate::prepare(&mut self, arguments.blocks, arguments.measure_s, arguments.quick)
            .map_err(HarnessError::Usage)?;
        self.purpose = Purpose::Gate;
        Ok(self)
    }

    /// The same as an ablation of its one subject.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] for a subject that is not launched here.
    pub(crate) fn into_ablation(mut self, features: Vec<Feature>) -> Result<Self, HarnessError> {
        let whole = self.subjects[0].clone();
        for feature in &features {
            let mut without = whole.clone().with_variables(&variables(feature))?;
            without.name = without_name(feature);
            self.subjects.push(without);
        }
        self.purpose = Purpose::Ablation(features);
        Ok(self)
    }

    /// The gate's rules, as a record of this plan will be judged.
    pub(crate) fn gate_rules(&self) -> GateRules {
        GateRules::of_run(self.seed, self.schedule.blocks)
    }

    /// Every launch in its order: each block holds each subject once, in random (seeded) order.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(ORDER_STREAM);
        let mut order = 0..;
        let mut slots = Vec::new();
        for block in 0..self.schedule.blocks {
            let mut subjects: Vec<usize> = (0..self.subjects.len()).collect();
            subjects.shuffle(&mut rng);
            slots.extend(
                order
                    .by_ref()
                    .zip(subjects)
                    .map(|(order, subject)| Slot { block, order, subject }),
            );
        }
        slots
    }

    /// The seed of the users of a block: both subjects get the same journeys, another block other ones.
    pub(crate) fn block_seed(&self, block: u32) -> u64 {
        self.seed
            .wrapping_add(u64::from(block).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Load of one launch, without its drain.
    pub(crate) fn load_per_launch(&self) -> Duration {
        Duration::from_secs_f64(self.schedule.warm_up_s + self.schedule.measure_s)
    }

    pub(crate) fn total_load(&self) -> Duration {
        self.load_per_launch() * self.schedule.blocks * u32::try_from(self.subjects.len()).unwrap_or(u32::MAX)
    }

    /// Whether any subject is started here, and so needs servers.
    pub(crate) fn needs_stack(&self) -> bool {
        self.subjects.iter().any(|subject| subject.binary().is_some())
    }

    /// What is about to happen, for the terminal.
    pub(crate) fn announcement(&self) -> String {
        if self.purpose == Purpose::Gate {
            return gate::announcement(self);
        }
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        let Schedule {
            warm_up_s,
            measure_s,
            blocks,
            ..
        } = self.schedule;
        format!(
            "{}: {}; {blocks} block{} of {} ({warm_up_s} s warm-up, {measure_s} s measured each): {} s of load, \
             plus setting up and launching",
            self.workload.name,
            self.model.describe(),
            if blocks == 1 { "" } else { "s" },
            names.join(" and "),
            self.total_load().as_secs(),
        )
    }
}

/// The name of the subject without a feature.
pub(super) fn without_name(feature: &Feature) -> String {
    format!("without {}", feature.name)
}

fn variables(feature: &Feature) -> Vec<Variable> {
    let variable = |(name, value): (&String, &String)| Variable {
        name: name.clone(),
        value: value.clone(),
    };
    feature.off.iter().map(variable).collect()
}

/// The command line that repeats this command.
pub(crate) fn command_line() -> String {
    let words = std::iter::once("loadtest".to_owned()).chain(std::env::args().skip(1));
    words.collect::<Vec<_>>().join(" ")
}
