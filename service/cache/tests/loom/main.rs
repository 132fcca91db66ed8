//! `stamps` and `flight` under loom: every order in which two or three threads can pass through them, and every value
//! that the memory model lets them see. The two modules are compiled here once more, with loom's primitives for std's.
//!
//! Not a libtest target: the unit tests inside the two modules would run on loom's primitives outside of a model.

#![expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "only parts of the modules are used here, and their unit tests not at all"
)]

#[path = "../../src/entry.rs"]
mod entry;
#[expect(
    clippy::modulo_one,
    reason = "one shard, so that a random hasher makes no two rounds different"
)]
#[path = "../../src/flight.rs"]
mod flight;
#[path = "../../src/key.rs"]
mod key;
#[path = "../../src/loaded.rs"]
mod loaded;
#[path = "../../src/place.rs"]
mod place;
#[path = "../../src/stamps.rs"]
mod stamps;
#[path = "../../src/tag.rs"]
mod tag;

/// Loom's primitives, and sizes that leave it few enough objects.
mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic::AtomicU64};

    pub(crate) const STRIPES: usize = 2;
    pub(crate) const SHARDS: usize = 1;
}

use std::{any::TypeId, sync::Arc, time::Duration};

use flight::{Admission, Admitted, Flights, Leader};
use key::Key;
use loom::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use stamps::{Stamp, Stamps};
use tag::Tag;

fn main() {
    let checks: [(&str, fn()); 4] = [
        (
            "a load that holds its stamp is as new as what was processed",
            loads_are_as_new_as_processed,
        ),
        ("and not if the stamp is taken after the load", || {
            must_fail(|| race(false));
        }),
        ("nobody joins a flight from before what was processed", no_late_joining),
        ("clients that miss together start one flight", one_flight_for_all),
    ];
    for (name, check) in checks {
        check();
        println!("loom: {name} ... ok");
    }
}

fn tags() -> [Tag; 1] {
    [Tag::new("row")]
}

fn loads_are_as_new_as_processed() {
    race(true);
}

/// A writer commits, bumps and says so; a loader takes its stamp and loads, in this order or the other. Whoever knows
/// that the write was processed must not be served an older load.
fn race(stamp_first: bool) {
    loom::model(move || {
        let (stamps, row, processed) = (
            Arc::new(Stamps::new()),
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicU64::new(0)),
        );
        let writer = {
            let (stamps, row, processed) = (Arc::clone(&stamps), Arc::clone(&row), Arc::clone(&processed));
            thread::spawn(move || {
                // Relaxed: the stamps alone must bring the order.
                row.store(1, Ordering::Relaxed);
                stamps.bump(&tags());
                processed.store(1, Ordering::Release);
            })
        };
        let (stamp, loaded) = load(&stamps, &row, stamp_first);
        let known = processed.load(Ordering::Acquire);
        if stamps.hold(&stamp, &tags()) {
            assert!(loaded >= known, "{loaded} is served after {known} was processed");
        }
        writer.join().expect("the writer ends");
    });
}

fn load(stamps: &Stamps, row: &AtomicU64, stamp_first: bool) -> (Stamp, u64) {
    if stamp_first {
        let stamp = stamps.take(&tags(), 0);
        (stamp, row.load(Ordering::Relaxed))
    } else {
        let loaded = row.load(Ordering::Relaxed);
        (stamps.take(&tags(), 0), loaded)
    }
}

/// The check must be able to fail.
fn must_fail(check: impl FnOnce() + std::panic::UnwindSafe) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(check);
    std::panic::set_hook(hook);
    assert!(result.is_err(), "a mistake was not found");
}

struct Rules<'a>(&'a Stamps);

impl Admission for Rules<'_> {
    type Found = ();

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn may_join(&self, stamp: &Stamp, _began: Duration) -> bool {
        self.0.hold(stamp, &tags())
    }

    fn look_again(&self) -> Option<()> {
        None
    }

    fn stamp(&self) -> Stamp {
        self.0.take(&tags(), 0)
    }
}

fn admit(flights: &Arc<Flights>, stamps: &Stamps) -> Option<(Leader, Stamp)> {
    match flights.admit(&Key::new("row"), TypeId::of::<()>(), &Rules(stamps)) {
        Admitted::Leads(leader, stamp) => Some((leader, stamp)),
        Admitted::Joined(_) | Admitted::Found(()) => None,
    }
}

/// One client's flight is running when a writer invalidates; a client that comes after must start its own.
fn no_late_joining() {
    loom::model(|| {
        let (flights, stamps) = (Arc::new(Flights::default()), Arc::new(Stamps::new()));
        let early = {
            let (flights, stamps) = (Arc::clone(&flights), Arc::clone(&stamps));
            thread::spawn(move || admit(&flights, &stamps))
        };
        stamps.bump(&tags());
        let late = admit(&flights, &stamps);
        let early = early.join().expect("the early client is admitted");
        if late.is_none() {
            // It joined: then the other flight started after the invalidation too.
            let (_, stamp) = early.as_ref().expect("somebody started");
            assert!(
                stamps.hold(stamp, &tags()),
                "joined a flight from before the invalidation"
            );
        }
    });
}

fn one_flight_for_all() {
    loom::model(|| {
        let (flights, stamps) = (Arc::new(Flights::default()), Arc::new(Stamps::new()));
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (flights, stamps) = (Arc::clone(&flights), Arc::clone(&stamps));
                thread::spawn(move || admit(&flights, &stamps))
            })
            .collect();
        let own = admit(&flights, &stamps);
        let others = clients
            .into_iter()
            .map(|client| client.join().expect("a client is admitted"));
        let started: Vec<_> = others.chain([own]).flatten().collect();
        assert_eq!(started.len(), 1, "flights of one key and stamp");
    });
}
