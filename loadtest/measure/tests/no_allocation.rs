//! Recording a request on the load path does not allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use measure::record::{FailureClass, Model};
use measure::recorder::{Request, RequestEnd, Shard, Unfinished, Windows};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

#[expect(
    unsafe_code,
    reason = "a global allocator is an unsafe trait; every call is handed on to the system's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// Every call of the load path, many times.
fn drive(shard: &mut Shard) {
    for request in 0..100_000_u64 {
        let (endpoint, intended_us) = (usize::try_from(request % 4).unwrap_or(0), request * 130);
        let sent_us = intended_us + request % 3_000;
        let outcome = if request % 50 == 0 {
            RequestEnd::Failed(FailureClass::Status)
        } else {
            RequestEnd::Ok { bytes: 600 }
        };
        let ended_us = sent_us + request * request % 90_000_000;
        shard.arrival(intended_us);
        shard.ended(Request {
            endpoint,
            intended_us,
            sent_us,
            ended_us,
            waited_us: 0,
            outcome,
        });
        shard.unfinished(Unfinished {
            endpoint,
            intended_us,
            sent_us,
            given_up_us: ended_us,
        });
        shard.repeated(endpoint, intended_us);
        shard.dropped(intended_us);
        shard.pause(intended_us, 1_000, ended_us);
    }
}

#[test]
fn recording_does_not_allocate() {
    let windows = Windows {
        warm_up_end_us: 1_000_000,
        measure_end_us: 11_000_000,
    };
    for model in [Model::Closed, Model::Open] {
        let mut shard = Shard::new(4, windows, model);
        assert_eq!(allocations_of(|| drive(&mut shard)), 0, "{model:?}");
        assert!(allocations_of(|| drop(shard.clone())) > 0, "the counter counts");
    }
}
