//! Results of the rounds: figures of each peer, ratios of the pairs that have a goal.

use serde_json::json;

use crate::Failure;
use crate::load::Slice;
use crate::peer::Kind;
use benches::ratios::{self, Goal};

/// Pairs that are compared, by server CPU seconds per request, and the goal of each.
const PAIRS: [(Kind, Kind, Goal); 6] = [
    (Kind::ServiceL1, Kind::Static, Goal::AtMost(1.25)),
    (Kind::ServiceL1, Kind::Moka, Goal::None),
    (Kind::ServiceL2, Kind::Redis, Goal::AtMost(1.15)),
    (Kind::FastApi, Kind::ServiceL1, Goal::AtLeast(25.0)),
    (Kind::FastApi, Kind::ServiceL2, Goal::None),
    (Kind::Moka, Kind::Static, Goal::None),
];

type Rounds = [Vec<(Kind, Slice)>];

/// Prints both tables and writes them down.
pub(crate) fn report(rounds: &Rounds) -> Result<(), Failure> {
    println!(
        "\n{:28} {:>12} {:>12} {:>10}",
        "peer (median of rounds)", "CPU s/100k", "requests/s", "p95 ms"
    );
    let peers: Vec<_> = Kind::ALL.iter().map(|&kind| figures(rounds, kind)).collect();
    println!(
        "\n{:46} {:>8} {:>8} {:>8} {:>8}",
        "ratio (median of rounds)", "CPU", "goal", "req/s", "p95"
    );
    let pairs: Vec<_> = PAIRS.iter().map(|&pair| compare(rounds, pair)).collect();
    let path = ratios::criterion_home().join("peers.json");
    let document = json!({ "schema_version": 1, "peers": peers, "ratios": pairs });
    std::fs::create_dir_all(ratios::criterion_home())?;
    std::fs::write(&path, serde_json::to_string_pretty(&document)?)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

fn figures(rounds: &Rounds, kind: Kind) -> serde_json::Value {
    let of = |figure: fn(&Slice) -> f64| median(rounds.iter().filter_map(|round| find(round, kind).map(figure)));
    let (cpu, rate, p95) = (of(Slice::cpu_s_per_100k), of(Slice::per_second), of(Slice::p95_ms));
    println!("{:28} {cpu:>12.2} {rate:>12.0} {p95:>10.2}", kind.title());
    json!({ "peer": kind.title(), "cpu_s_per_100k": cpu, "requests_per_s": rate, "p95_ms": p95 })
}

fn compare(rounds: &Rounds, (figure, rival, goal): (Kind, Kind, Goal)) -> serde_json::Value {
    let of = |value: fn(&Slice) -> f64| {
        median(
            rounds
                .iter()
                .filter_map(|round| Some(value(find(round, figure)?) / value(find(round, rival)?))),
        )
    };
    let (cpu, rate, p95) = (of(Slice::cpu_s_per_100k), of(Slice::per_second), of(Slice::p95_ms));
    let what = format!("{} vs {}", figure.title(), rival.title());
    let verdict = goal.verdict(cpu);
    println!(
        "{what:46} {cpu:>8.2} {:>8} {rate:>8.2} {p95:>8.2} {verdict}",
        goal.to_string()
    );
    let goal = goal.to_string();
    json!({ "what": what, "cpu": cpu, "goal": goal, "verdict": verdict, "requests_per_s": rate, "p95": p95 })
}

fn find(round: &[(Kind, Slice)], kind: Kind) -> Option<&Slice> {
    round.iter().find(|(of, _)| *of == kind).map(|(_, slice)| slice)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
