//! Was the run made as runs have to be, and did it come to its end? From the record itself.

use crate::gate::Evaluation;
use crate::record::{AS_WRITTEN, About, Check, Record};

/// Name of the check that a run which was stopped fails, however often its record is judged or merged.
pub(crate) const CAME_TO_ITS_END: &str = "the run came to its end";

/// Whether the run came to its end; `stopped` says why it did not.
pub(crate) fn came_to_its_end(stopped: Option<&str>) -> Check {
    Check::new(
        CAME_TO_ITS_END,
        stopped.is_none(),
        stopped.unwrap_or("all rounds").to_owned(),
    )
}

/// The checks that cannot be made again from what was measured: the digest of a record covers them.
pub(crate) const FOUND_ONCE: [&str; 2] = [CAME_TO_ITS_END, AS_WRITTEN];

/// Name of the check on blocks in which the machine was disturbed.
pub(crate) const DISTURBED_AGAIN: &str = "disturbed blocks were measured again";

/// Disturbed blocks that were measured again: how many, and whether they are left out.
pub(crate) fn repeated(left_out: &[(u32, String)], kept: &[(u32, String)], planned: u32) -> Option<Check> {
    let first = left_out.first().or(kept.first())?;
    let more = left_out.len().max(kept.len()) - 1;
    let and_more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    let what = if kept.is_empty() {
        format!(
            "{} left out, {planned} blocks without a disturbance entered",
            left_out.len()
        )
    } else {
        format!(
            "{} blocks were disturbed and enter all the same, since too few others were measured: what holds in spite \
             of it holds",
            kept.len()
        )
    };
    Some(
        Check::new(
            DISTURBED_AGAIN,
            kept.is_empty(),
            format!("{what} ({}{and_more})", first.1),
        )
        .about(About::Machine),
    )
}

/// The build of the harness and the settings of the servers.
pub(crate) fn of_run(record: &Record) -> Vec<Check> {
    let build = &record.tool.build;
    let release = Check::new(
        "the harness is a release build",
        build == "release",
        format!("{build} build"),
    );
    std::iter::once(release).chain(fsync_is_on(record)).collect()
}

/// Commits that do not reach the disk make writes look fast. Nothing to check where no database is ours.
fn fsync_is_on(record: &Record) -> Option<Check> {
    let value = record.stack.get("postgres")?.settings.get("fsync");
    Some(Check::new(
        "Postgres writes to disk",
        value.is_some_and(|value| value == "on"),
        format!("fsync = {}", value.map_or("unknown", String::as_str)),
    ))
}

/// A generator that is saturated measures itself: its slices are dropped, and with too many of them a stage never comes
/// to its end. Lateness drops slices too, but never so many (`gate::lateness`).
pub(crate) fn enough_slices(evaluation: &Evaluation) -> Check {
    let gate = &evaluation.gate;
    Check::new(
        "enough slices were valid",
        evaluation.enough,
        format!(
            "{} blocks entered, {} pairs of slices dropped in them; in {} blocks the generator was saturated, and {} \
             were late in too many slices",
            gate.stage1_blocks + gate.stage2_blocks,
            gate.dropped_pairs,
            gate.repeated_blocks,
            gate.late_blocks,
        ),
    )
}
