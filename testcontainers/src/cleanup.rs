//! Clean-up that needs to await, run to its end from a destructor.

use std::time::Duration;

use crate::error::StackError;
use crate::info::Server;

/// Tidying up on a server that may be gone must not hold up the end of the program for longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs `work` on a thread and runtime of its own: the caller may be a thread of a runtime (which must not block on a
/// future), or there may be no runtime left at all.
pub(crate) fn run_to_end<F>(server: Server, work: F) -> Result<(), StackError>
where
    F: Future<Output = Result<(), StackError>> + Send + 'static,
{
    let failed = move |problem: String| StackError::stop(server)(problem);
    let thread = std::thread::Builder::new()
        .name("stack-cleanup".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed(error.to_string()))?;
            let outcome = runtime.block_on(async { tokio::time::timeout(LIMIT, work).await });
            outcome.map_err(|_| failed(format!("no answer within {} s", LIMIT.as_secs())))?
        });
    let thread = thread.map_err(|error| failed(error.to_string()))?;
    thread.join().map_err(|_| failed("the clean-up panicked".to_owned()))?
}
