//! Whole routes beside their rivals, under the same load, in turns: what the service's cached routes cost beyond the
//! plainest handler that could do it, and what they save beside the stack that the plan's samples are written for.
//!
//! One command, `cargo bench -p benches --bench peers`: it builds the service, starts the servers and every peer (each
//! in a process of its own), measures, prints a table, writes `target/criterion/peers.json`, and leaves nothing behind.
//! It needs Postgres and Redis as the tests do, and python3 with venv and a way to `PyPI` on its first run.
//!
//! The load is closed: [`CONNECTIONS`] connections, each sending its next request when it has the last answer. Peers
//! take turns in [`ROUNDS`] rounds whose order is reversed each time; a ratio is the median of the rounds' ratios,
//! because machines drift by more within minutes than the peers differ.

mod load;
mod peer;
mod serve;
mod table;

use std::error::Error;
use std::time::Duration;

use crate::load::{Load, Slice};
use crate::peer::{Kind, Peers};

/// Enough to keep one core of a service busy, few enough that nobody queues for long.
const CONNECTIONS: usize = 32;
/// Drivers asked for in turn. More than connections, so that two rarely ask for the same at once.
const DRIVERS: u32 = 1_000;
const ROUNDS: usize = 5;
/// Before each slice, unmeasured: the caches are full already, but the processor's are not.
const SETTLE: Duration = Duration::from_millis(500);
const SLICE: Duration = Duration::from_secs(4);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == serve::COMMAND) {
        return serve::run(&arguments[place + 1..]);
    }
    // One thread: a generator that spreads over all cores would compete with what it measures.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure())
}

async fn measure() -> Result<(), Failure> {
    let peers = Peers::start(DRIVERS).await?;
    let measured = all_rounds(&peers).await;
    peers.stop().await?;
    table::report(&measured?)
}

/// The slices of each round, by kind.
async fn all_rounds(peers: &Peers) -> Result<Vec<Vec<(Kind, Slice)>>, Failure> {
    let mut rounds = Vec::new();
    for index in 0..ROUNDS {
        let mut order = Kind::ALL.to_vec();
        if !index.is_multiple_of(2) {
            order.reverse();
        }
        let mut round = Vec::new();
        for kind in order {
            round.push((kind, slice(peers, kind).await?));
        }
        println!("round {} of {ROUNDS} is done", index + 1);
        rounds.push(round);
    }
    Ok(rounds)
}

async fn slice(peers: &Peers, kind: Kind) -> Result<Slice, Failure> {
    let peer = peers.get(kind)?;
    let load = Load {
        address: peer.address(),
        authorization: peers.authorization(),
        connections: CONNECTIONS,
        drivers: DRIVERS,
        expected_tier: kind.tier(),
    };
    load.run(SETTLE).await?;
    let before_s = peer.cpu_s()?;
    let mut slice = load.run(SLICE).await?;
    slice.cpu_s = peer.cpu_s()? - before_s;
    Ok(slice)
}
