//! Limits of the generator itself, looked at before any load: files that it may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::HarnessError;

/// Files that the harness opens beside the connections of the load: runtimes, timers, probes, logs, servers' pipes.
const OWN_FILES: u64 = 64;

/// Makes sure that so many connections can be open at once: raises the soft limit of open files where it is lower, up
/// to the hard one.
///
/// # Errors
/// [`HarnessError::Usage`] where the hard limit is lower: it is the generator that could not go on then, and its
/// failures would look like the subject's.
pub(crate) fn allow_connections(connections: u64) -> Result<(), HarnessError> {
    let needed = connections.saturating_add(OWN_FILES);
    let limit = getrlimit(Resource::Nofile);
    match raised(limit, needed) {
        Ok(None) => Ok(()),
        Ok(Some(raised)) => setrlimit(Resource::Nofile, raised).map_err(HarnessError::internal),
        Err(hard) => Err(HarnessError::Usage(format!(
            "the generator may open {hard} files (its hard limit, `ulimit -Hn`), and {connections} connections need \
             {needed}: raise the limit, or give fewer users (--users) or `connections` in [model.open]"
        ))),
    }
}

/// The limit to set, if any; `Err` is a hard limit that is too low.
fn raised(limit: Rlimit, needed: u64) -> Result<Option<Rlimit>, u64> {
    // Without a number there is no limit.
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(None);
    }
    match limit.maximum {
        Some(hard) if hard < needed => Err(hard),
        hard => Ok(Some(Rlimit {
            current: hard,
            maximum: hard,
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(current: Option<u64>, maximum: Option<u64>) -> Rlimit {
        Rlimit { current, maximum }
    }

    #[test]
    fn the_soft_limit_is_raised_only_where_it_is_too_low_and_the_hard_one_never() {
        assert_eq!(raised(limit(Some(1_024), Some(4_096)), 1_024), Ok(None));
        assert_eq!(raised(limit(None, None), u64::MAX), Ok(None));
        let all = limit(Some(4_096), Some(4_096));
        assert_eq!(raised(limit(Some(1_024), Some(4_096)), 1_025), Ok(Some(all)));
        assert_eq!(raised(limit(Some(1_024), None), 1_025), Ok(Some(limit(None, None))));
        assert_eq!(raised(limit(Some(40), Some(40)), 41), Err(40));
    }
}
