//! Feeders: distributions, sequences, and rows of files that stand beside the workload.

use std::sync::Arc;

use toml::Spanned;

use crate::feeder::{Draw, Feeder, RowOrder, ZipfRange};
use crate::raw::{Named, RawCsv, RawFeeder, RawRowOrder, RawSequence, RawUniform, RawZipf, in_file_order};
use crate::source::{Findings, Source};
use crate::table::Table;
use crate::vars::VarNames;

/// The feeders, and the bytes of every file that they read.
pub(super) fn feeders(
    raw: Named<RawFeeder>,
    source: &Source,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> (Vec<Feeder>, Vec<Vec<u8>>) {
    let (mut feeders, mut files) = (Vec::new(), Vec::new());
    for (name, feeder) in in_file_order(raw) {
        let draw = match &feeder {
            RawFeeder::Zipf(raw) => zipf(raw, findings),
            RawFeeder::Uniform(raw) => uniform(raw, findings),
            RawFeeder::Sequence(raw) => sequence(raw, findings),
            RawFeeder::Csv(raw) => rows(raw, source, &mut files, findings),
        };
        if matches!((&feeder, &draw), (RawFeeder::Csv(_), None)) {
            names.define_unread(name.get_ref());
        }
        let slots = define(&name, draw.as_ref(), names, findings);
        feeders.extend(draw.map(|draw| Feeder {
            name: name.get_ref().clone(),
            slots,
            draw,
        }));
    }
    (feeders, files)
}

/// One variable of the feeder's name, or `NAME.COLUMN` for each column of its table.
fn define(
    name: &Spanned<String>,
    draw: Option<&Draw>,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Vec<usize> {
    let Some(Draw::Row { table, .. }) = draw else {
        return vec![names.define(name, findings)];
    };
    let column = |column: &String| Spanned::new(name.span(), format!("{name}.{column}"));
    table
        .columns()
        .iter()
        .map(|title| names.define(&column(title), findings))
        .collect()
}

fn zipf(raw: &RawZipf, findings: &mut Findings<'_>) -> Option<Draw> {
    let (n, s) = (findings.at_least_one("n", &raw.n), findings.not_negative("s", &raw.s));
    let range = ZipfRange::new(raw.from.unwrap_or(1), n, s);
    let explained = n == 0 || !s.is_finite() || s < 0.0;
    findings.require(range.is_some() || explained, &raw.n.span(), || {
        "`from` plus `n` is larger than a 64-bit integer can hold".to_owned()
    });
    range.map(Draw::Zipf)
}

fn uniform(raw: &RawUniform, findings: &mut Findings<'_>) -> Option<Draw> {
    let (min, max) = (raw.min, *raw.max.get_ref());
    findings.require(min <= max, &raw.max.span(), || {
        format!("`max` is {max}, below `min`, which is {min}")
    });
    (min <= max).then_some(Draw::Uniform { min, max })
}

fn sequence(raw: &RawSequence, findings: &mut Findings<'_>) -> Option<Draw> {
    let step = raw.step.as_ref().map_or(1, |step| *step.get_ref());
    if let Some(zero) = raw.step.as_ref().filter(|_| step == 0) {
        findings.add(&zero.span(), "`step` is 0: every value would be the same", None);
    }
    (step != 0).then_some(Draw::Sequence {
        from: raw.from.unwrap_or(1),
        step,
    })
}

fn rows(raw: &RawCsv, source: &Source, files: &mut Vec<Vec<u8>>, findings: &mut Findings<'_>) -> Option<Draw> {
    match Table::load(&source.beside(raw.file.get_ref()), &raw.numbers) {
        Ok((table, bytes)) => {
            files.push(bytes);
            Some(Draw::Row {
                table: Arc::new(table),
                order: match raw.order {
                    Some(RawRowOrder::Random) => RowOrder::Random,
                    Some(RawRowOrder::Sequence) | None => RowOrder::Sequence,
                },
            })
        }
        Err(fault) => {
            findings.add(&raw.file.span(), fault, None);
            None
        }
    }
}
