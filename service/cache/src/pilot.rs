//! Who flies a flight: the client that starts it, since a task of its own would cost two wake-ups at each miss. When that client
//! goes away, or has its answer before the flight's end, the flight goes on in a task: nobody who waits for it is let down.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// A flight until its end. Dropped before, it goes on without whoever held it; outside of a runtime it ends there, and those
/// who wait learn that it did.
pub(crate) struct Pilot(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Pilot {
    pub(crate) fn new(flight: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(flight)))
    }
}

impl Future for Pilot {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(flight) = self.0.as_mut() else {
            return Poll::Ready(());
        };
        // A loader's panic ends the flight and not its client, as it would in a task.
        let polled = catch_unwind(AssertUnwindSafe(|| flight.as_mut().poll(context))).unwrap_or(Poll::Ready(()));
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if let (Some(flight), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(flight);
        }
    }
}
