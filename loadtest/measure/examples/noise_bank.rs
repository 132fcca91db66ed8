//! Puts records of A/A gates together as a noise bank: what the gate's false alarms are counted on
//! (`tests/simulation/bank.rs`).
//!
//! `cargo run --release -p measure --example noise_bank -- OUT.hlog OUT.csv RECORD.json...`
//!
//! The histograms go into the `.hlog`, one line per slice and endpoint with the tag `bBLOCK/pPOSITION/A|B/ENDPOINT`;
//! what a slice has beside them goes into the CSV. Blocks are numbered anew over all records.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use measure::histogram::LatencyHistogram;
use measure::hlog::{Hlog, Interval};
use measure::record::{GateSlice, Record};

const HEADER: &str = "block,position,side,length_ms,service_cpu_us,generator_cpu,steal,busy,lateness_p99_us\n";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log, table, records @ ..] = arguments.as_slice() else {
        return Err("give OUT.hlog OUT.csv RECORD.json...".into());
    };
    let (mut intervals, mut rows, mut first_block) = (Vec::new(), HEADER.to_owned(), 0);
    let mut started_at = None;
    for file in records {
        let record = Record::load(Path::new(file))?;
        started_at = started_at.or(Some(record.created_at));
        let blocks = add(&record, first_block, &mut intervals, &mut rows)?;
        println!("{file}: {blocks} blocks");
        first_block += blocks;
    }
    let log_of_all = Hlog {
        started_at: started_at.ok_or("give at least one record")?,
        intervals,
    };
    log_of_all.write(BufWriter::new(File::create(log)?))?;
    std::fs::write(table, rows)?;
    Ok(())
}

/// The slices of a record; how many blocks it has.
fn add(
    record: &Record,
    first_block: u32,
    intervals: &mut Vec<Interval>,
    rows: &mut String,
) -> Result<u32, Box<dyn Error>> {
    let Some(before) = record.subjects.first() else {
        return Err("a record without subjects".into());
    };
    let mut blocks = 0;
    for round in &record.rounds {
        let side = if round.subject == before.name { "A" } else { "B" };
        let block = first_block + round.block;
        blocks = blocks.max(round.block + 1);
        for slice in &round.gate_slices {
            let place = format!("b{block}/p{}/{side}", slice.position);
            for (endpoint, counts) in &slice.endpoints {
                intervals.push(Interval {
                    tag: format!("{place}/{endpoint}"),
                    start: Duration::from_millis(slice.start_ms),
                    length: Duration::from_millis(slice.length_ms),
                    times: LatencyHistogram::decode(&counts.hdr)?,
                });
            }
            row(rows, block, side, slice)?;
        }
    }
    Ok(blocks)
}

fn row(rows: &mut String, block: u32, side: &str, slice: &GateSlice) -> std::fmt::Result {
    writeln!(
        rows,
        "{block},{},{side},{},{},{:.4},{:.4},{:.4},{}",
        slice.position,
        slice.length_ms,
        slice.service_cpu_us.unwrap_or_default(),
        slice.generator_cpu,
        slice.steal.unwrap_or_default(),
        slice.busy.unwrap_or_default(),
        slice.lateness_p99_us,
    )
}
