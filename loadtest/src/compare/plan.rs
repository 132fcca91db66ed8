//! The plan of a measurement, fixed before it starts: its purpose and load, blocks, the order within them, durations,
//! seeds.

use std::{sync::Arc, time::Duration};

use load::LoadModel;
use measure::record::Shard;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use scenarios::{Feature, OpenModel, Rate, Schedule, Service, Workload};

use crate::{
    arguments::LoadArgs,
    error::HarnessError,
    subject::{Subject, Variable},
};

/// Streams of the seed: the order of launches must not share one with the users' choices.
const ORDER_STREAM: u64 = u64::MAX;

/// A measurement to be made: of one subject, or of several in alternation.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) workload: Arc<Workload>,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) schedule: Schedule,
    pub(crate) seed: u64,
    /// Which of several generators drives it; absent where there is one.
    pub(crate) shard: Option<Shard>,
    pub(crate) purpose: Purpose,
    /// Requests after which the measured phase of a launch ends; absent where time alone ends it.
    pub(crate) requests: Option<u64>,
    /// The command line that repeats it.
    pub(crate) command: String,
}

/// Purpose of the rounds of a plan, and the load that serves it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Purpose {
    /// Figures, targets and large effects: rounds of one launch each.
    Report(LoadModel),
    /// Small regressions: slices of two residents, interleaved.
    Gate(OpenModel),
    /// What each feature buys: the first subject has all of them, each other one lacks one.
    Ablation { model: LoadModel, features: Vec<Feature> },
    /// The highest rate that holds its targets: one launch, many rates.
    Capacity(OpenModel),
}

/// One launch of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlannedLaunch {
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
        schedule.warm_up_s = arguments.warm_up_s.unwrap_or(schedule.warm_up_s);
        schedule.measure_s = arguments.measure_s().unwrap_or(schedule.measure_s);
        Self {
            workload: Arc::new(workload),
            subjects,
            schedule,
            seed: arguments.seed,
            shard: arguments.shard,
            purpose: Purpose::Report(model),
            requests: arguments.requests,
            command: command_line(),
        }
    }

    /// The load.
    pub(crate) fn model(&self) -> LoadModel {
        match &self.purpose {
            Purpose::Report(model) | Purpose::Ablation { model, .. } => model.clone(),
            Purpose::Gate(model) | Purpose::Capacity(model) => LoadModel::Open(model.clone()),
        }
    }

    /// Has what is in flight at the end waited for as long as its time-out takes, so that every request is answered or
    /// fails and none is left in between; and what there is to say about it.
    pub(crate) fn outlasting_timeouts(mut self) -> (Self, Option<String>) {
        let longest = self
            .workload
            .endpoints
            .iter()
            .max_by_key(|endpoint| endpoint.timeout_ms);
        let Some(longest) = longest else { return (self, None) };
        let (asked_s, timeout_s) = (self.schedule.drain_s, longest.timeout_ms as f64 / 1000.0);
        if asked_s >= timeout_s {
            return (self, None);
        }
        self.schedule.drain_s = timeout_s;
        let said = format!(
            "drain lengthened from {asked_s} s to at most {timeout_s} s, the time-out of `{}`: a request that is given \
             up before would count as failed",
            longest.name
        );
        (self, Some(said))
    }

    /// A search for capacity at another constant rate of arrivals, for other lengths.
    pub(crate) fn at_rate(&self, per_s: f64, schedule: Schedule) -> Self {
        let mut plan = self.clone();
        plan.schedule = schedule;
        if let Purpose::Capacity(model) = &mut plan.purpose {
            (model.rate, model.ramp_s) = (Rate::constant(per_s), 0.0);
        }
        plan
    }

    /// Makes it an ablation of its one subject.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] for a subject that is not launched here.
    pub(crate) fn into_ablation(mut self, features: Vec<Feature>) -> Result<Self, HarnessError> {
        let whole = self.subjects[0].clone();
        for feature in &features {
            let mut without = whole.clone().with_variables(&variables(feature))?;
            without.name = format!("without {}", feature.name);
            self.subjects.push(without);
        }
        let model = self.model();
        self.purpose = Purpose::Ablation { model, features };
        Ok(self)
    }

    /// Every launch of the first `blocks` in its order: each block holds each subject once, in random (seeded) order.
    /// Those of fewer blocks are the first of those of more.
    pub(crate) fn launches(&self, blocks: u32) -> Vec<PlannedLaunch> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(ORDER_STREAM);
        let in_block = |block| {
            let mut subjects: Vec<usize> = (0..self.subjects.len()).collect();
            subjects.shuffle(&mut rng);
            subjects.into_iter().map(move |subject| (block, subject))
        };
        let launches = (0..blocks).flat_map(in_block);
        let numbered = (0..).zip(launches);
        numbered
            .map(|(order, (block, subject))| PlannedLaunch { block, order, subject })
            .collect()
    }

    /// The seed of the users of a block: both subjects get the same journeys, another block and another generator other
    /// ones.
    pub(crate) fn block_seed(&self, block: u32) -> u64 {
        let generator = self.shard.map_or(0, |shard| u64::from(shard.index));
        self.seed
            .wrapping_add(u64::from(block).wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .wrapping_add(generator.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// Load of one launch, without its drain.
    pub(crate) fn load_per_launch(&self) -> Duration {
        Duration::from_secs_f64(self.schedule.warm_up_s + self.schedule.measure_s)
    }

    pub(crate) fn total_load(&self) -> Duration {
        self.load_of_blocks(self.schedule.blocks)
    }

    /// Load of so many blocks, without their drains.
    pub(crate) fn load_of_blocks(&self, blocks: u32) -> Duration {
        self.load_per_launch() * blocks * u32::try_from(self.subjects.len()).unwrap_or(u32::MAX)
    }

    /// The service of the subjects that are started here, if any is.
    pub(crate) fn service(&self) -> Option<&Service> {
        let build = self.subjects.iter().find_map(Subject::build);
        build.map(|build| build.service.as_ref())
    }

    /// Names of the subjects, as in "a and b".
    pub(super) fn names(&self, between: &str) -> String {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name.as_str()).collect();
        names.join(between)
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use load::Target;

    use super::*;
    use crate::subject::{Environment, Means, SubjectSpec};

    fn subject(name: &str) -> Subject {
        let address = "127.0.0.1:1";
        Subject {
            name: name.to_owned(),
            means: Means::Running(Target::at(address.parse().unwrap())),
            spec: SubjectSpec::Url(format!("http://{address}").parse().unwrap()),
            variables: Environment::new(),
        }
    }

    fn plan(purpose: impl FnOnce(OpenModel) -> Purpose) -> Plan {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/workloads/gate.toml");
        let workload = Workload::load(&file).unwrap();
        Plan {
            subjects: ["a", "b", "c"].map(subject).into(),
            schedule: Schedule {
                blocks: 20,
                ..workload.schedule(false)
            },
            seed: 42,
            shard: None,
            purpose: purpose(LoadModel::open_at(&workload, 10.0)),
            requests: None,
            command: String::new(),
            workload: Arc::new(workload),
        }
    }

    #[test]
    fn each_block_launches_each_subject_once_in_an_order_that_the_seed_draws() {
        let launches = plan(Purpose::Gate).launches(20);
        assert!((0..).zip(&launches).all(|(order, launch)| launch.order == order));
        let blocks: Vec<Vec<usize>> = launches
            .chunks(3)
            .map(|block| block.iter().map(|launch| launch.subject).collect())
            .collect();
        assert_eq!(blocks.len(), 20);
        for block in &blocks {
            let mut subjects = block.clone();
            subjects.sort_unstable();
            assert_eq!(subjects, [0, 1, 2]);
        }
        assert!(blocks.iter().any(|block| *block != blocks[0]), "one order for all");
        assert_eq!(plan(Purpose::Gate).launches(20), launches);
        let more = plan(Purpose::Gate).launches(30);
        assert_eq!(more[..60], launches, "a block that is repeated changes none before it");
        let other = Plan {
            seed: 43,
            ..plan(Purpose::Gate)
        };
        assert_ne!(other.launches(20), launches);
    }

    #[test]
    fn generators_of_one_load_share_its_order_and_nothing_else() {
        let of = |index| Plan {
            shard: Some(Shard { index, of: 3 }),
            ..plan(Purpose::Gate)
        };
        assert_eq!(of(1).launches(20), of(2).launches(20));
        let seeds: std::collections::BTreeSet<u64> = (1..=3)
            .flat_map(|index| (0..20).map(move |block| (index, block)))
            .map(|(index, block)| of(index).block_seed(block))
            .collect();
        assert_eq!(seeds.len(), 60);
    }

    #[test]
    fn the_drain_is_as_long_as_the_longest_time_out() {
        let (longer, said) = plan(Purpose::Gate).outlasting_timeouts();
        let timeout_s = longer.workload.endpoints[0].timeout_ms as f64 / 1000.0;
        assert!((longer.schedule.drain_s - timeout_s).abs() < 1e-9 && said.unwrap().contains("drain lengthened"));
        assert_eq!(longer.outlasting_timeouts().1, None);
    }

    #[test]
    fn only_a_search_for_capacity_changes_its_rate() {
        let rate = |plan: Plan| plan.at_rate(7.0, plan.schedule).model().describe();
        assert!(rate(plan(Purpose::Capacity)).contains("7/s"));
        assert!(rate(plan(Purpose::Gate)).contains("10/s"));
    }

    #[test]
    fn an_ablation_has_a_subject_without_each_feature() {
        let feature = Feature {
            name: "cache".to_owned(),
            what: "a cache".to_owned(),
            off: [("CACHE_ENABLED".to_owned(), "false".to_owned())].into(),
        };
        let up = plan(|model| Purpose::Report(LoadModel::Open(model)));
        let refused = up.clone().into_ablation(vec![feature.clone()]).err().unwrap();
        assert_eq!(refused.exit_code(), 2);
        let ablation = up.into_ablation(Vec::new()).unwrap();
        assert!(matches!(ablation.purpose, Purpose::Ablation { features, .. } if features.is_empty()));
    }
}
