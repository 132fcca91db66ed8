//! Faults on purpose, so that a harness can be shown to notice them. Off unless named; what is on is told by
//! `/health/ready` and by a metric.

use std::fmt;
use std::time::Duration;

use super::reader::Reader;

/// Longest added time: beyond it a request would only time out.
const MAX_TIME_MS: u64 = 10_000;
const FORMS: &str =
    "sleep:ENDPOINT:20ms, cpu:ENDPOINT:5ms, pause:1/1000:200ms, error:ENDPOINT:1/100 or skip_invalidation:1/50";

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Every request of an endpoint waits.
    Sleep {
        /// Operation id of the route, or `*`.
        endpoint: String,
        /// How long.
        time: Duration,
    },
    /// Every request of an endpoint keeps a core busy.
    Cpu {
        /// Operation id of the route, or `*`.
        endpoint: String,
        /// How long.
        time: Duration,
    },
    /// One request in so many, of whatever endpoint, waits.
    Pause {
        /// In how many.
        one_in: u64,
        /// How long.
        time: Duration,
    },
    /// One request of an endpoint in so many is answered with 500.
    Error {
        /// Operation id of the route, or `*`.
        endpoint: String,
        /// In how many.
        one_in: u64,
    },
    /// One invalidation in so many is not made.
    SkipInvalidation {
        /// In how many.
        one_in: u64,
    },
}

impl Fault {
    /// The endpoint that the fault names, if it names one.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Sleep { endpoint, .. } | Self::Cpu { endpoint, .. } | Self::Error { endpoint, .. } => Some(endpoint),
            Self::Pause { .. } | Self::SkipInvalidation { .. } => None,
        }
    }
}

/// As `FAULTS` spells it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep { endpoint, time } => write!(f, "sleep:{endpoint}:{}ms", time.as_millis()),
            Self::Cpu { endpoint, time } if time.subsec_nanos() % 1_000_000 == 0 => {
                write!(f, "cpu:{endpoint}:{}ms", time.as_millis())
            }
            Self::Cpu { endpoint, time } => write!(f, "cpu:{endpoint}:{}us", time.as_micros()),
            Self::Pause { one_in, time } => write!(f, "pause:1/{one_in}:{}ms", time.as_millis()),
            Self::Error { endpoint, one_in } => write!(f, "error:{endpoint}:1/{one_in}"),
            Self::SkipInvalidation { one_in } => write!(f, "skip_invalidation:1/{one_in}"),
        }
    }
}

/// The faults that are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultConfig {
    /// `FAULTS`, a list separated by commas, default empty: each `sleep:ENDPOINT:TIMEms`, `cpu:ENDPOINT:TIMEms` (or
    /// `us`), `pause:1/N:TIMEms`, `error:ENDPOINT:1/N` or `skip_invalidation:1/N`. ENDPOINT is an operation id of
    /// `/openapi.json` (`risk_current`), or `*`.
    pub faults: Vec<Fault>,
}

impl FaultConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            faults: reader.or("FAULTS", Vec::new(), faults),
        }
    }
}

fn faults(text: &str) -> Result<Vec<Fault>, String> {
    text.split(',').map(|one| fault(one.trim())).collect()
}

fn fault(text: &str) -> Result<Fault, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["sleep", endpoint, span] => Ok(Fault::Sleep {
            endpoint: endpoint.to_owned(),
            time: time(span)?,
        }),
        ["cpu", endpoint, span] => Ok(Fault::Cpu {
            endpoint: endpoint.to_owned(),
            time: busy_time(span)?,
        }),
        ["pause", share, span] => Ok(Fault::Pause {
            one_in: one_in(share)?,
            time: time(span)?,
        }),
        ["error", endpoint, share] => Ok(Fault::Error {
            endpoint: endpoint.to_owned(),
            one_in: one_in(share)?,
        }),
        ["skip_invalidation", share] => Ok(Fault::SkipInvalidation { one_in: one_in(share)? }),
        _ => Err(format!("`{text}` is no fault; give {FORMS}")),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let ms = text.strip_suffix("ms").and_then(|ms| ms.parse::<u64>().ok());
    ms.filter(|ms| (1..=MAX_TIME_MS).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is no time; give 1ms to {MAX_TIME_MS}ms"))
}

/// Also in microseconds: a core is kept busy that finely, while a timer fires at full milliseconds.
fn busy_time(text: &str) -> Result<Duration, String> {
    let us = text.strip_suffix("us").and_then(|us| us.parse::<u64>().ok());
    match us.filter(|us| (1..=MAX_TIME_MS * 1000).contains(us)) {
        Some(us) => Ok(Duration::from_micros(us)),
        None => time(text),
    }
}

fn one_in(text: &str) -> Result<u64, String> {
    let many = text.strip_prefix("1/").and_then(|many| many.parse::<u64>().ok());
    many.filter(|many| *many > 0)
        .ok_or_else(|| format!("`{text}` is no share; give for example 1/100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_are_written() {
        let text = "sleep:risk_current:20ms,cpu:*:5ms,cpu:premium:50us,pause:1/1000:200ms,error:premium:1/100,\
                    skip_invalidation:1/50";
        let read = faults(text).expect("six faults");
        assert_eq!(read.iter().map(Fault::to_string).collect::<Vec<_>>().join(","), text);
    }

    #[test]
    fn what_is_no_fault_is_answered_with_the_forms() {
        for (text, named) in [
            ("slep:x:1ms", "skip_invalidation:1/50"),
            ("sleep:x:1", "no time"),
            ("sleep:x:0ms", "no time"),
            ("error:x:1/0", "no share"),
            ("pause:5:1ms", "no share"),
        ] {
            let error = faults(text).expect_err(text);
            assert!(error.contains(named), "{error}");
        }
    }
}
