//! The search for capacity: one launch, many rates, and a soak at the one that is to be promised (docs/STATISTICS.md,
//! section 5). Which rate comes next, and what the answers mean, is `measure`'s.

use measure::{
    capacity::{
        search::{Next, Search},
        step::{self, Goal, Step},
    },
    record::{Capacity, CapacityOutcome, Round, StepKind},
    targets::TargetSpec,
};
use scenarios::Schedule;

use super::{
    plan::{Plan, PlannedLaunch},
    round::{self, Unfinished},
};
use crate::{
    error::HarnessError,
    launchpad::{Launchpad, Resident},
};

pub(crate) use crate::launchpad::Surroundings;

/// Parts of a soak: few and long, since they are the clusters of its intervals.
pub(crate) const SOAK_PARTS: u32 = 5;

/// How a search is driven.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// First rate, requests per second.
    pub(crate) start_per_s: f64,
    /// Rounds of four loads.
    pub(crate) rounds: usize,
    /// Seconds of a step that count.
    pub(crate) step_s: f64,
    /// Seconds before them that do not: the queue of the step before empties.
    pub(crate) settle_s: f64,
    /// Seconds of a soak.
    pub(crate) soak_s: f64,
    /// Requests per second that are asked for.
    pub(crate) wanted_per_s: Option<f64>,
}

impl Settings {
    /// Seconds of one part of a soak.
    pub(crate) fn soak_part_s(&self) -> f64 {
        self.soak_s / f64::from(SOAK_PARTS)
    }
}

/// A search to be made.
pub(crate) struct Question<'a> {
    pub(crate) plan: &'a Plan,
    /// Targets that load decides.
    pub(crate) targets: &'a [TargetSpec],
    pub(crate) settings: Settings,
    /// Requests that follow from one arrival.
    pub(crate) per_arrival: f64,
}

/// A search under way.
pub(crate) struct Searching<'a> {
    question: &'a Question<'a>,
    around: Surroundings<'a>,
    goals: Vec<Goal>,
    /// Every step so far.
    pub(crate) found: Capacity,
    /// The rounds of the last soak, which the verdict is made of.
    pub(crate) soak: Vec<Round>,
}

impl<'a> Searching<'a> {
    pub(crate) fn new(question: &'a Question<'a>, around: Surroundings<'a>) -> Self {
        let goals: Vec<Goal> = question.targets.iter().filter_map(Goal::of).collect();
        Self {
            found: Capacity {
                goals: goals.iter().map(|goal| goal.id.clone()).collect(),
                steps: Vec::new(),
                outcome: CapacityOutcome::Unfinished,
                crossing_per_s: None,
                interval_per_s: None,
                advertised_per_s: None,
                wanted_per_s: question.settings.wanted_per_s,
                soak_s: question.settings.soak_s,
                failed_soaks: 0,
                scaling: None,
            },
            question,
            around,
            goals,
            soak: Vec::new(),
        }
    }

    /// Brings the subject up, searches, takes it down.
    ///
    /// # Errors
    /// The first failure; the steps before it are kept.
    pub(crate) async fn execute(&mut self) -> Result<(), HarnessError> {
        let Plan { subjects, workload, .. } = self.question.plan;
        let launchpad = Launchpad::prepare(self.around, subjects, &workload.dataset.seed_command).await?;
        let mut resident = launchpad.bring_up(&subjects[0], 0).await?;
        let searched = self.search(&mut resident).await;
        self.found.scaling = step::scaling(&self.found.steps);
        let ended = resident.take_down().await;
        searched.and(ended)
    }

    async fn search(&mut self, resident: &mut Resident<'_>) -> Result<(), HarnessError> {
        let settings = self.question.settings;
        let mut search = Search::new(settings.start_per_s, self.question.plan.seed).with_rounds(settings.rounds);
        loop {
            match search.next() {
                Next::Measure { rate_per_s, kind } => {
                    let step = self.step(resident, rate_per_s, kind).await?;
                    search.measured(step.worst);
                }
                Next::Soak { rate_per_s } => {
                    let passed = self.soak(resident, rate_per_s).await?;
                    self.found.failed_soaks += u32::from(!passed);
                    search.soaked(passed);
                }
                Next::Done(outcome) => {
                    self.found.outcome = outcome;
                    self.found.advertised_per_s = search.advertised_per_s();
                    return Ok(());
                }
            }
            self.crossing_so_far(&search);
        }
    }

    /// The rounds are over when a soak comes next; what they found is kept even if no soak holds.
    fn crossing_so_far(&mut self, search: &Search) {
        if let Some((crossing, interval)) = search.crossing() {
            self.found.crossing_per_s = Some(crossing);
            self.found.interval_per_s = Some(interval);
        }
    }

    /// One load of the doubling, which ends with a miss that is confirmed, or of a round.
    async fn step(
        &mut self,
        resident: &mut Resident<'_>,
        rate_per_s: f64,
        kind: StepKind,
    ) -> Result<Step, HarnessError> {
        let settings = self.question.settings;
        let round = self.drive(resident, rate_per_s, settings.step_s).await?;
        self.keep(&round, kind, rate_per_s)?.ok_or_else(|| {
            HarnessError::Usage(format!(
                "at {rate_per_s:.1}/s nothing was due within a step that any target is about: start higher with \
                 --start, or make steps longer with --step-s"
            ))
        })
    }

    /// Whether every target held over all parts, each a cluster of the interval.
    async fn soak(&mut self, resident: &mut Resident<'_>, rate_per_s: f64) -> Result<bool, HarnessError> {
        let part_s = self.question.settings.soak_part_s();
        self.around.progress.line(&format!(
            "soak: {rate_per_s:.1}/s for {:.0} s, in {SOAK_PARTS} parts",
            self.question.settings.soak_s
        ));
        self.soak.clear();
        for part in 0..SOAK_PARTS {
            let mut round = self.drive(resident, rate_per_s, part_s).await?;
            if self.keep(&round, StepKind::Soak, rate_per_s)?.is_none() {
                // So slow a rate that a whole part saw nothing holds nothing.
                return Ok(false);
            }
            round.block = part;
            round.order = part;
            self.soak.push(round);
        }
        self.soak_holds()
    }

    fn soak_holds(&self) -> Result<bool, HarnessError> {
        let subject = &self.question.plan.subjects[0].name;
        step::holds(&self.soak, subject, self.question.targets).map_err(HarnessError::internal)
    }

    /// Keeps the step that a round was, judged by the goals; `None` where nothing was due that any of them is about.
    fn keep(&mut self, round: &Round, kind: StepKind, rate_per_s: f64) -> Result<Option<Step>, HarnessError> {
        let found = step::of_round(round, &self.goals, kind, rate_per_s).map_err(HarnessError::internal)?;
        if let Some(step) = &found {
            self.around.progress.line(&line(self.found.steps.len() + 1, step));
            self.found.steps.push(step.kept.clone());
        }
        Ok(found)
    }

    /// Load at one rate; before the first of all comes the workload's whole warm-up.
    async fn drive(&self, resident: &mut Resident<'_>, rate_per_s: f64, measure_s: f64) -> Result<Round, HarnessError> {
        let number = u32::try_from(self.found.steps.len()).unwrap_or(u32::MAX);
        let Question {
            plan,
            settings,
            per_arrival,
            ..
        } = self.question;
        let warm_up_s = if number == 0 {
            plan.schedule.warm_up_s.max(settings.settle_s)
        } else {
            settings.settle_s
        };
        let schedule = Schedule {
            warm_up_s,
            measure_s,
            blocks: number + 1,
            ..plan.schedule
        };
        let plan = plan.at_rate(rate_per_s / per_arrival, schedule);
        let launch = PlannedLaunch {
            block: number,
            order: number,
            subject: 0,
        };
        let measured = round::measure(&plan, launch, self.around, resident).await;
        measured.map_err(|Unfinished { error, .. }| error)
    }
}

/// "step 7: 320/s, p95 12.1 ms, 3.1 % miss `fast` (5 % may)"
fn line(number: usize, step: &Step) -> String {
    let kept = &step.kept;
    let p95 = kept.p95_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
    let share = |part: f64| 100.0 * part;
    format!(
        "step {number}: {:.1}/s, p95 {p95} ms, {:.2} % miss `{}` ({:.2} % may), {} dropped",
        kept.rate_per_s,
        share(kept.above as f64 / kept.of.max(1) as f64),
        kept.goal,
        share(kept.allowed),
        kept.dropped
    )
}
