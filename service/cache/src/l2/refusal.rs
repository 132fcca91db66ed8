//! Which errors mean that Redis answers and is of no use all the same. What follows from that is not decided here.

use redis::{ErrorKind, RedisError};

/// Codes by which a server refuses its service, whatever it is asked: it is read-only after a demotion, cannot save its
/// data, is full, lacks its replicas, is loading, is no cluster that works, runs another's script, or knows this user
/// too little.
const REFUSALS: [&str; 15] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNKILLABLE",
];

/// Whether the server said this, and not the network or the client.
pub(super) fn is_answer(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType
    )
}

/// Whether the server refuses its service, and not only this command.
pub(super) fn is_of_service(error: &RedisError) -> bool {
    let Some(code) = error.code() else { return false };
    REFUSALS.contains(&code) || (code == "ERR" && error.detail().is_some_and(quotes_a_refusal))
}

/// Redis before 7 wraps what a script's command was refused with: `Error running script (...): -MISCONF Redis is ...`.
fn quotes_a_refusal(detail: &str) -> bool {
    detail.starts_with("Error running script") && REFUSALS.iter().any(|code| detail.contains(&format!(" -{code} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("a value");
        value.extract_error().expect_err("an error")
    }

    #[test]
    fn a_server_that_refuses_its_service_is_told_from_one_that_refuses_a_command() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN Hash slot not served",
            "NOREPLICAS Not enough good replicas to write.",
            "BUSY Redis is busy running a script.",
            "ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -MISCONF Redis is configured",
        ] {
            assert!(is_of_service(&answered(line)) && is_answer(&answered(line)), "{line}");
        }
        for line in [
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            "ERR value of -MISCONF is no number",
        ] {
            assert!(!is_of_service(&answered(line)) && is_answer(&answered(line)), "{line}");
        }
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(!is_answer(&lost) && !is_of_service(&lost));
    }
}
