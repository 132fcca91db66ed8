//! The design of a gate, two stages of blocks (docs/STATISTICS.md, section 1): what can be one, in how many blocks and
//! slices, and how long that takes. What does not belong here: running it.

use std::{ops::RangeInclusive, time::Duration};

use load::LoadModel;
use measure::{gate::order::SLICES, record::GateDecision};
use scenarios::{Arrive, OpenModel, Rate};

use super::plan::{Plan, Purpose};
use crate::{
    arguments::LoadArgs,
    error::HarnessError,
    subject::{Means, Subject},
};

/// Blocks of a stage unless the command line gives them.
const STAGE_BLOCKS: u32 = 24;
/// Blocks of a stage with `--quick`: they show only large effects.
const QUICK_STAGE_BLOCKS: u32 = 8;
/// With fewer no p could be as small as the strictest level (`measure::limits::ENOUGH_BLOCKS`), so that nothing could
/// pass; with more a machine is said to be too noisy.
const ALLOWED_BLOCKS: RangeInclusive<u32> = 8..=48;
/// Before a slice, not recorded: the subject's connections are made and its threads awake.
const LEAD: Duration = Duration::from_millis(250);
/// Slices shorter than a second, which only try things out, have a lead of this part of them.
const LEAD_PART: u32 = 4;
/// Requests that an endpoint should get in a slice; with fewer a slice takes two seconds.
const REQUESTS_PER_SLICE: f64 = 40.0;
/// Launching a block until the first one has shown how long it takes: migrations, joining the Kafka group.
const LAUNCH_GUESS: Duration = Duration::from_secs(5);
/// Between two slices: what is in flight ends, and a thread starts.
const GAP_GUESS: Duration = Duration::from_millis(20);

impl Plan {
    /// Makes it a gate: its `blocks` are those of a stage, its `measure_s` is that of a slice.
    ///
    /// # Errors
    /// [`HarnessError::Usage`] for what cannot be gated, and for subjects that are unlike.
    pub(crate) fn into_gate(mut self, arguments: &LoadArgs) -> Result<Self, HarnessError> {
        let model = steady_requests(self.model()).map_err(HarnessError::Usage)?;
        alike(&self.subjects).map_err(HarnessError::Usage)?;
        let usual = if arguments.quick {
            QUICK_STAGE_BLOCKS
        } else {
            STAGE_BLOCKS
        };
        let blocks = arguments.blocks.unwrap_or(usual);
        if !ALLOWED_BLOCKS.contains(&blocks) {
            return Err(HarnessError::Usage(format!(
                "--blocks {blocks}: a gate has {} to {} blocks in a stage",
                ALLOWED_BLOCKS.start(),
                ALLOWED_BLOCKS.end()
            )));
        }
        let slice_s = slice_seconds(&model, self.workload.used_endpoints());
        self.schedule.blocks = blocks;
        self.schedule.measure_s = arguments.measure_s().unwrap_or(slice_s);
        self.purpose = Purpose::Gate(model);
        Ok(self)
    }
}

/// One or two seconds, so that each endpoint gets enough requests.
fn slice_seconds(model: &OpenModel, endpoints: usize) -> f64 {
    let each = model.rate.first_per_s() / endpoints.max(1) as f64;
    if each >= REQUESTS_PER_SLICE { 1.0 } else { 2.0 }
}

/// Slices of a second have no room for a shape of the rate, and single requests alone can be replayed to both sides.
fn steady_requests(model: LoadModel) -> Result<OpenModel, String> {
    let LoadModel::Open(model) = model else {
        return Err("a gate needs the open model".to_owned());
    };
    if model.arrive == Arrive::Sessions {
        let sessions = "a gate sends single requests, and journeys of this workload hand values on from step to step: \
                        give another workload, or --model closed";
        return Err(sessions.to_owned());
    }
    if model.rate != Rate::constant(model.rate.first_per_s()) {
        return Err("a gate runs at one rate: give it with --rate".to_owned());
    }
    Ok(model)
}

/// Refuses what would be no comparison of two builds, or of two settings of one.
fn alike(subjects: &[Subject]) -> Result<(), String> {
    let [before, after] = subjects else {
        return Err("a gate compares two subjects".to_owned());
    };
    match (&before.means, &after.means) {
        (Means::Launch(a), Means::Launch(b)) => {
            if a.sha256 != b.sha256 && before.settings() != after.settings() {
                return Err(format!(
                    "{} and {} differ in their build and in their settings: nobody could say which made the \
                     difference. Give both the same profile and variables, or one build",
                    before.spec, after.spec
                ));
            }
            Ok(())
        }
        (Means::Running(_), Means::Running(_)) => Ok(()),
        _ => Err(format!(
            "{} and {} are unlike: one is launched for each block and the other is not. Give two subjects to launch, \
             or two addresses",
            before.spec, after.spec
        )),
    }
}

/// How long load runs before a slice.
pub(super) fn lead(slice: Duration) -> Duration {
    LEAD.min(slice / LEAD_PART)
}

/// How long a block takes, launching guessed.
fn block_guess(plan: &Plan) -> Duration {
    let slice = Duration::from_secs_f64(plan.schedule.measure_s);
    let slices = (lead(slice) + slice + GAP_GUESS) * u32::try_from(SLICES).unwrap_or(u32::MAX);
    let warm_up = Duration::from_secs_f64(plan.schedule.warm_up_s) * 2;
    let launch = if plan.service().is_some() {
        LAUNCH_GUESS
    } else {
        Duration::ZERO
    };
    launch + warm_up + slices
}

/// What is about to happen and how long it takes, for the terminal.
pub(super) fn announcement(plan: &Plan) -> String {
    let (blocks, block) = (plan.schedule.blocks, block_guess(plan));
    format!(
        "{}: gate of {}, {} in slices of {} s; stage 1 has {blocks} blocks of about {} s: about {}, and as much \
         again if something is in doubt",
        plan.workload.name,
        plan.names(" against "),
        plan.model().describe(),
        plan.schedule.measure_s,
        block.as_secs(),
        minutes(block * blocks),
    )
}

/// How far the load is at a slice, for the bar.
pub(super) fn done_ms(plan: &Plan, block: u32, position: u32) -> u64 {
    let (block_guess, slices) = (block_guess(plan), u32::try_from(SLICES).unwrap_or(u32::MAX));
    let done = block_guess * block + block_guess * position / slices;
    u64::try_from(done.as_millis()).unwrap_or(u64::MAX)
}

/// Why there are `more` blocks after the first ones.
pub(super) fn why_more(gate: &GateDecision, stage_blocks: u32, more: u32) -> String {
    if gate.stage2_blocks == 0 && gate.stage1_blocks + gate.late_blocks == stage_blocks {
        format!("stage 1 left something in doubt: {more} new blocks decide it")
    } else {
        format!("in place of blocks in which the generator was saturated in too many slices: {more} more")
    }
}

/// "12 min", "40 s".
pub(super) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 90 {
        format!("{seconds} s")
    } else {
        format!("{} min", (seconds + 30) / 60)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use load::Wanted;
    use scenarios::Workload;

    use super::*;

    fn model(rate: f64) -> LoadModel {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/workloads/gate.toml");
        let workload = Workload::load(&file).unwrap();
        let wanted = Wanted {
            rate_per_s: Some(rate),
            ..Wanted::default()
        };
        LoadModel::choose(&workload, wanted).unwrap()
    }

    #[test]
    fn few_requests_make_longer_slices() {
        let seconds = |rate| slice_seconds(&steady_requests(model(rate)).unwrap(), 12);
        assert_eq!((seconds(480.0), seconds(479.0)), (1.0, 2.0));
        let leads = [2_000, 1_000, 100].map(|ms| lead(Duration::from_millis(ms)).as_millis());
        assert_eq!(leads, [250, 250, 25]);
    }

    #[test]
    fn only_a_steady_rate_of_single_requests_can_be_gated() {
        let LoadModel::Open(mut open) = model(100.0) else {
            panic!("it is open")
        };
        open.arrive = Arrive::Sessions;
        let sessions = steady_requests(LoadModel::Open(open.clone())).unwrap_err();
        assert!(sessions.contains("single requests"), "{sessions}");
        open.arrive = Arrive::Requests;
        open.rate = Rate::ramp(1.0, 9.0, 5.0);
        let ramp = steady_requests(LoadModel::Open(open)).unwrap_err();
        assert!(ramp.contains("--rate"), "{ramp}");
    }

    #[test]
    fn more_blocks_have_their_reason() {
        let after = |stage1_blocks, stage2_blocks, late_blocks| {
            let gate = GateDecision {
                stage1_blocks,
                stage2_blocks,
                late_blocks,
                ..GateDecision::default()
            };
            why_more(&gate, 8, 3)
        };
        assert!(after(8, 0, 0).contains("in doubt") && after(6, 0, 2).contains("in doubt"));
        assert!(after(5, 0, 0).contains("saturated") && after(8, 5, 0).contains("saturated"));
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        assert_eq!(minutes(Duration::from_secs(40)), "40 s");
        assert_eq!(minutes(Duration::from_secs(24 * 27)), "11 min");
    }
}
