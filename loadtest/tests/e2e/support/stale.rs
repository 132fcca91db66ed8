//! A cached service that forgets to invalidate: one write in so many leaves the old value in its cache, until the
//! next write of the same entity.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use super::{Request, Response, Server};

/// Entities `/items/0` to `/items/99`; GET reads, POST writes; both answer with `x-version`.
pub(crate) struct Stale {
    pub(crate) server: Server,
    forgotten: Arc<Mutex<BTreeSet<(usize, i64)>>>,
}

/// As many as there are: few, so that each is read soon after it was written.
pub(crate) const ENTITIES: usize = 100;

/// One entity.
#[derive(Default)]
struct Item {
    stored: AtomicI64,
    cached: AtomicI64,
}

impl Stale {
    /// Forgets one invalidation in `one_in`, never with `None`.
    pub(crate) fn start(one_in: Option<u64>) -> Self {
        let forgotten = Arc::new(Mutex::new(BTreeSet::new()));
        let (noted, writes) = (Arc::clone(&forgotten), AtomicU64::new(0));
        let items: Vec<Item> = (0..ENTITIES).map(|_| Item::default()).collect();
        let server = Server::start(move |request: &Request| {
            let id: usize = request.path.rsplit('/').next().unwrap().parse().unwrap();
            let item = &items[id];
            if request.method == "GET" {
                return versioned(item.cached.load(Ordering::SeqCst));
            }
            let version = item.stored.fetch_add(1, Ordering::SeqCst) + 1;
            let number = writes.fetch_add(1, Ordering::SeqCst);
            if one_in.is_some_and(|one_in| number % one_in == one_in / 2) {
                noted.lock().unwrap().insert((id, version));
            } else {
                item.cached.fetch_max(version, Ordering::SeqCst);
            }
            versioned(version)
        });
        Self { server, forgotten }
    }

    /// Entity and version of every invalidation that was forgotten.
    pub(crate) fn forgotten(&self) -> BTreeSet<(usize, i64)> {
        self.forgotten.lock().unwrap().clone()
    }
}

fn versioned(version: i64) -> Response {
    Response {
        headers: vec![("x-version", version.to_string())],
        ..Response::ok("{}")
    }
}
