//! All rounds of a measurement: seed once, then launch after launch; what is measured is kept when a later one fails.

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
    subject::{Binary, Subject, run_to_end},
};

/// A measurement under way.
pub(crate) struct Run<'a> {
    pub(super) plan: &'a Plan,
    /// Servers for the subjects that are started here.
    pub(super) stack: Option<&'a Stack>,
    pub(super) out: &'a OutputDir,
    pub(super) progress: &'a Progress,
    pub(super) interrupt: &'a Interrupt,
    /// Seeded database to clone, by hash of the binary that seeded it.
    templates: BTreeMap<String, String>,
    pub(super) rounds: Vec<Round>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        stack: Option<&'a Stack>,
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
        self.seed_all().await?;
        let total_ms = u64::try_from(self.plan.total_load().as_millis()).unwrap_or(u64::MAX);
        self.progress.expect_ms(total_ms);
        for slot in self.plan.slots() {
            self.interrupt.check()?;
            let end = self.round(slot).await;
            if let Some(round) = end.round {
                self.progress.line(&self.round_line(slot, &round));
                self.rounds.push(round);
            }
            if let Some(failure) = end.failure {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Every database that a launch will clone.
    pub(super) async fn seed_all(&mut self) -> Result<(), HarnessError> {
        if let Some(stack) = self.stack {
            for binary in self.plan.subjects.iter().filter_map(Subject::binary) {
                self.seed(stack, binary).await?;
            }
        }
        Ok(())
    }

    /// One seeded database per binary: subjects of the same build share it.
    async fn seed(&mut self, stack: &Stack, binary: &Binary) -> Result<(), HarnessError> {
        if self.templates.contains_key(&binary.sha256) {
            return Ok(());
        }
        let database = format!("{}_seed{}", self.out.database_prefix(), self.templates.len());
        self.progress
            .line(&format!("seeding {database} with {}", binary.path.display()));
        let postgres = &stack.postgres;
        postgres.create_database(&database).await.map_err(unavailable)?;
        let env = BTreeMap::from([("DATABASE_URL".to_owned(), postgres.url(&database))]);
        self.seed_command(binary, &["migrate"], &env).await?;
        let seed: Vec<&str> = self
            .plan
            .workload
            .dataset
            .seed_command
            .iter()
            .map(String::as_str)
            .collect();
        if !seed.is_empty() {
            self.seed_command(binary, &seed, &env).await?;
        }
        self.templates.insert(binary.sha256.clone(), database);
        Ok(())
    }

    async fn seed_command(
        &self,
        binary: &Binary,
        arguments: &[&str],
        env: &BTreeMap<String, String>,
    ) -> Result<(), HarnessError> {
        let log = self.out.log("seed");
        let line = |text: &str| self.progress.line(&format!("  {text}"));
        tokio::select! {
            done = run_to_end(&binary.path, arguments, env, &log, line) => done,
            () = self.interrupt.stop.cancelled() => Err(HarnessError::Interrupted),
        }
    }

    /// The seeded database that a launch of `binary` clones.
    pub(super) fn template(&self, binary: &Binary) -> &str {
        &self.templates[&binary.sha256]
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
            round.slices.len(),
        )
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(super) fn unavailable(error: stack::StackError) -> HarnessError {
    HarnessError::Unavailable(error.to_string())
}
