//! All rounds of a measurement: launch after launch, or stage after stage of a gate; what was measured is kept when a
//! later round fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use measure::{
    compare::Sides,
    disturbance,
    gate::{GateRules, Next, evaluate},
    record::Round,
};
use scenarios::{OpenModel, Schedule};

use super::{
    block::{Block, ShownFailures},
    gate::{self, minutes},
    plan::{Plan, PlannedLaunch, Purpose},
    records,
    round::{self, Unfinished},
};
use crate::{
    canary::{Canary, CanaryLoad},
    error::HarnessError,
    launchpad::{Launchpad, Surroundings},
    machine,
};

impl Plan {
    /// Describes for the terminal what is about to happen.
    pub(crate) fn announcement(&self) -> String {
        if let Purpose::Gate(_) = self.purpose {
            return gate::announcement(self);
        }
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
            self.model().describe(),
            if blocks == 1 { "" } else { "s" },
            self.names(" and "),
            self.total_load().as_secs(),
        )
    }
}

/// A measurement under way.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    around: Surroundings<'a>,
    rounds: Vec<Round>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Plan, around: Surroundings<'a>) -> Self {
        Self {
            plan,
            around,
            rounds: Vec::new(),
        }
    }

    /// The rounds that were measured.
    pub(crate) fn into_rounds(self) -> Vec<Round> {
        self.rounds
    }

    /// Makes the data set, then runs every launch of the plan; of a gate, stage after stage until all is decided.
    ///
    /// # Errors
    /// The first failure; the rounds before it are kept.
    pub(crate) async fn execute(&mut self) -> Result<(), HarnessError> {
        let seed_command = &self.plan.workload.dataset.seed_command;
        let launchpad = Launchpad::prepare(self.around, &self.plan.subjects, seed_command).await?;
        match &self.plan.purpose {
            Purpose::Gate(model) => self.gate(&launchpad, model).await,
            _ => self.launches(&launchpad).await,
        }
    }

    async fn launches(&mut self, launchpad: &Launchpad<'a>) -> Result<(), HarnessError> {
        self.around.progress.expect_ms(millis(self.plan.total_load()));
        let planned = self.plan.schedule.blocks;
        for launch in self.plan.launches(planned) {
            self.around.interrupt.check()?;
            self.launch(launchpad, launch).await?;
        }
        self.repeat_disturbed(launchpad, planned).await
    }

    /// Runs a block more, with every subject, for each one in which the machine was disturbed, at most as many again as
    /// were planned. Of several generators none repeats: the others would not.
    async fn repeat_disturbed(&mut self, launchpad: &Launchpad<'a>, planned: u32) -> Result<(), HarnessError> {
        if self.plan.shard.is_some() {
            return Ok(());
        }
        let mut blocks = planned;
        let mut said = BTreeSet::new();
        while blocks < 2 * planned {
            let disturbed = self.disturbed()?;
            let alone = blocks - u32::try_from(disturbed.len()).unwrap_or(blocks);
            if alone >= planned {
                return Ok(());
            }
            for (block, why) in disturbed.iter().filter(|(block, _)| !said.contains(*block)) {
                let line = format!("block {} was disturbed, and is measured again: {why}", block + 1);
                self.around.progress.line(&line);
            }
            said.extend(disturbed.into_keys());
            let per_block = self.plan.subjects.len();
            blocks += 1;
            self.around.progress.expect_ms(millis(self.plan.load_of_blocks(blocks)));
            let launches = self.plan.launches(blocks);
            for launch in &launches[launches.len() - per_block..] {
                self.around.interrupt.check()?;
                self.launch(launchpad, *launch).await?;
            }
        }
        Ok(())
    }

    /// Blocks in which the machine was disturbed, with the first reason of each.
    fn disturbed(&self) -> Result<BTreeMap<u32, String>, HarnessError> {
        let mut blocks = BTreeMap::new();
        for round in &self.rounds {
            let reasons = disturbance::of_round(round).map_err(HarnessError::internal)?;
            if let Some(why) = reasons.into_iter().next() {
                blocks.entry(round.block).or_insert(why);
            }
        }
        Ok(blocks)
    }

    async fn launch(&mut self, launchpad: &Launchpad<'a>, launch: PlannedLaunch) -> Result<(), HarnessError> {
        let subject = &self.plan.subjects[launch.subject];
        let mut resident = launchpad.bring_up(subject, launch.order).await?;
        let measured = round::measure(self.plan, launch, self.around, &mut resident).await;
        let ended = resident.take_down().await;
        let (round, failure) = match measured {
            Ok(round) => (Some(round), None),
            Err(Unfinished { error, round }) => (round.map(|round| *round), Some(error)),
        };
        if let Some(round) = round {
            let (block, blocks) = (launch.block + 1, self.plan.schedule.blocks);
            let (length_s, counts) = (round.slices.len(), answers_and_errors(std::slice::from_ref(&round)));
            let line = format!("block {block}/{blocks} {}: {counts} in {length_s} s", round.subject);
            self.around.progress.line(&line);
            self.rounds.push(round);
            self.flush();
        }
        failure.map_or(ended, Err)
    }

    async fn gate(&mut self, launchpad: &Launchpad<'a>, model: &OpenModel) -> Result<(), HarnessError> {
        let canary = Canary::start().await?;
        let done = match CanaryLoad::new(&canary, model) {
            Ok(load) => self.stages(launchpad, model, &load).await,
            Err(error) => Err(error),
        };
        done.and(canary.stop().await)
    }

    async fn stages(
        &mut self,
        launchpad: &Launchpad<'a>,
        model: &OpenModel,
        canary: &CanaryLoad,
    ) -> Result<(), HarnessError> {
        let (plan, around) = (self.plan, self.around);
        let mut number = 0;
        let mut shown = ShownFailures::new();
        loop {
            let Some(more) = self.blocks_to_come()? else {
                return Ok(());
            };
            let until = number + more;
            around.progress.expect_ms(gate::done_ms(plan, until, 0));
            while number < until {
                around.interrupt.check()?;
                let block = Block {
                    plan,
                    model,
                    canary,
                    around,
                    number,
                };
                self.block(&block, launchpad, until, &mut shown).await?;
                number += 1;
            }
        }
    }

    /// How many more blocks are needed, if any. Asked between stages only.
    fn blocks_to_come(&self) -> Result<Option<u32>, HarnessError> {
        let Plan {
            subjects,
            seed,
            schedule,
            ..
        } = self.plan;
        let sides = Sides {
            before: &subjects[0].name,
            after: &subjects[1].name,
        };
        let rules = GateRules::of_run(*seed, schedule.blocks);
        let evaluation = evaluate(&self.rounds, sides, &machine::describe(), &rules).map_err(HarnessError::internal)?;
        let Next::Blocks(more) = evaluation.next else {
            return Ok(None);
        };
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if !self.rounds.is_empty() {
            let why = gate::why_more(&evaluation.gate, schedule.blocks, more);
            self.around.progress.line(&why);
        }
        Ok(Some(more))
    }

    /// Runs one block, and says that it is over: nothing that could be compared.
    async fn block(
        &mut self,
        block: &Block<'_>,
        launchpad: &Launchpad<'_>,
        until: u32,
        shown: &mut ShownFailures,
    ) -> Result<(), HarnessError> {
        let (began, before) = (Instant::now(), self.rounds.len());
        let ended = block.run(launchpad, &mut self.rounds, shown).await;
        if self.rounds.len() > before {
            let line = format!(
                "block {} of {until}: {} in {} s; {} of this stage left",
                block.number + 1,
                answers_and_errors(&self.rounds[before..]),
                began.elapsed().as_secs(),
                minutes(began.elapsed() * (until - block.number - 1)),
            );
            self.around.progress.line(&line);
            self.flush();
        }
        ended
    }

    /// Keeps the rounds so far on disk, for the case that the harness is killed.
    fn flush(&self) {
        let Surroundings {
            servers, out, progress, ..
        } = self.around;
        let unjudged = records::unjudged(self.plan, out.id(), records::servers(servers), self.rounds.clone());
        if let Err(error) = out.flush(&unjudged) {
            progress.line(&format!("warning: what was measured so far is not kept: {error}"));
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// "12000 answers, 3 errors".
fn answers_and_errors(rounds: &[Round]) -> String {
    let slices = || rounds.iter().flat_map(|round| &round.slices);
    let answers: u64 = slices().map(|slice| slice.count).sum();
    let errors: u64 = slices().map(|slice| slice.errors).sum();
    format!("{answers} answers, {errors} errors")
}
