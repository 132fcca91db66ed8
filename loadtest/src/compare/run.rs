//! All rounds of a comparison: seed once, then launch after launch; what is measured is kept when a later one fails.

use std::collections::BTreeMap;

use measure::record::Round;
use stack::Stack;

use super::{
    output::OutputDir,
    plan::{Plan, Slot},
};
use crate::{
    error::HarnessError,
    interrupt::Interrupt,
    progress::Progress,
    subject::{Subject, run_to_end},
};

/// A comparison under way.
pub(crate) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) stack: &'a Stack,
    pub(super) out: &'a OutputDir,
    pub(super) progress: &'a Progress,
    pub(super) interrupt: &'a Interrupt,
    /// Seeded database to clone, by hash of the binary that seeded it.
    templates: BTreeMap<String, String>,
    rounds: Vec<Round>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        stack: &'a Stack,
        out: &'a OutputDir,
        progress: &'a Progress,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            plan,
            stack,
            out,
            progress,
            interrupt,
            templates: BTreeMap::new(),
            rounds: Vec::new(),
        }
    }

    /// The rounds that came to their end.
    pub(crate) fn into_rounds(self) -> Vec<Round> {
        self.rounds
    }

    /// Seeds, then runs every launch of the plan.
    ///
    /// # Errors
    /// The first failure; the rounds before it are kept.
    pub(crate) async fn execute(&mut self) -> Result<(), HarnessError> {
        for subject in &self.plan.subjects {
            self.seed(subject).await?;
        }
        let total_ms = u64::try_from(self.plan.total_load().as_millis()).unwrap_or(u64::MAX);
        self.progress.expect_ms(total_ms);
        for slot in self.plan.slots() {
            self.interrupt.check()?;
            let round = self.round(slot).await?;
            self.progress.line(&self.round_line(slot, &round));
            self.rounds.push(round);
        }
        Ok(())
    }

    /// One seeded database per binary: subjects of the same build share it.
    async fn seed(&mut self, subject: &Subject) -> Result<(), HarnessError> {
        if self.templates.contains_key(&subject.binary_sha256) {
            return Ok(());
        }
        let database = format!("{}_seed{}", self.out.database_prefix(), self.templates.len());
        self.progress
            .line(&format!("seeding {database} with {}", subject.binary.display()));
        let postgres = &self.stack.postgres;
        postgres.create_database(&database).await.map_err(unavailable)?;
        let env = BTreeMap::from([("DATABASE_URL".to_owned(), postgres.url(&database))]);
        self.seed_command(subject, &["migrate"], &env).await?;
        let seed: Vec<&str> = self
            .plan
            .workload
            .dataset
            .seed_command
            .iter()
            .map(String::as_str)
            .collect();
        if !seed.is_empty() {
            self.seed_command(subject, &seed, &env).await?;
        }
        self.templates.insert(subject.binary_sha256.clone(), database);
        Ok(())
    }

    async fn seed_command(
        &self,
        subject: &Subject,
        arguments: &[&str],
        env: &BTreeMap<String, String>,
    ) -> Result<(), HarnessError> {
        let log = self.out.log("seed");
        let line = |text: &str| self.progress.line(&format!("  {text}"));
        tokio::select! {
            done = run_to_end(&subject.binary, arguments, env, &log, line) => done,
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }

    /// The seeded database that a launch of `subject` clones.
    pub(super) fn template(&self, subject: &Subject) -> &str {
        &self.templates[&subject.binary_sha256]
    }

    fn round_line(&self, slot: Slot, round: &Round) -> String {
        let (answers, errors) = round.slices.iter().fold((0, 0), |(answers, errors), slice| {
            (answers + slice.count, errors + slice.errors)
        });
        format!(
            "block {}/{} {}: {answers} answers in {} s, {errors} errors",
            slot.block + 1,
            self.plan.schedule.blocks,
            round.subject,
            self.plan.schedule.measure_s,
        )
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(super) fn unavailable(error: stack::StackError) -> HarnessError {
    HarnessError::Unavailable(error.to_string())
}
