//! `loadtest doctor`: what is here, what each provider of each server would use, and what installs what is missing.

use std::path::PathBuf;

use clap::Args;
use load::priority_here;
use stack::doctor::{self, Finding};
use stack::{Server, StackOptions};

use crate::{error::HarnessError, say};

/// Say which servers can be had here, by which provider, and what installs what is missing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  loadtest doctor")]
pub(crate) struct DoctorArgs {
    /// Directory of Postgres' binaries, where several versions are installed
    #[arg(long, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
}

/// Exit code 0 when every server can be had, 3 when one cannot.
pub(super) async fn doctor(arguments: &DoctorArgs) -> Result<u8, HarnessError> {
    let options = StackOptions {
        postgres_bin: arguments.postgres_bin.clone(),
        ..StackOptions::from_env().map_err(HarnessError::usage)?
    };
    let findings = doctor::examine(&options).await;
    let servers = [Server::Postgres, Server::Redis, Server::Kafka];
    for server in servers {
        say::out(section(&findings, server));
    }
    say::out(generator(priority_here()));
    let lacking = servers
        .into_iter()
        .find(|server| doctor::taken(&findings, *server).is_none());
    lacking.map_or(Ok(0), |server| {
        Err(HarnessError::Server(format!(
            "nothing provides {server}; one of the ways above is enough"
        )))
    })
}

/// Whether the threads that send come before the work of the subject, and what lets them.
fn generator(priority: Option<i32>) -> String {
    if priority.is_some_and(|priority| priority < 0) {
        return "generator: sends with real-time priority".to_owned();
    }
    let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("loadtest"));
    format!(
        "generator: sends without real-time priority, and may be late on busy cores; this permits it:\n  \
         sudo setcap cap_sys_nice+ep {}",
        this.display()
    )
}

/// One server with all its ways.
fn section(findings: &[Finding], server: Server) -> String {
    let taken = doctor::taken(findings, server);
    let head = taken.map_or_else(
        || format!("{server}: nothing can be taken"),
        |taken| format!("{server}: auto takes {}", taken.provider),
    );
    let ways = findings
        .iter()
        .filter(|finding| finding.server == server)
        .map(|finding| {
            let mark = if finding.usable { "yes" } else { "no " };
            format!("\n  {mark} {:<11} {}", finding.provider.to_string(), finding.detail)
        });
    ways.fold(head, |text, way| text + &way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::Provider;

    #[test]
    fn a_generator_without_real_time_priority_says_how_to_have_it() {
        assert!(generator(Some(-2)).ends_with("with real-time priority"));
        for ordinary in [Some(20), Some(10), None] {
            assert!(generator(ordinary).contains("sudo setcap cap_sys_nice+ep /"));
        }
    }

    #[test]
    fn the_first_usable_way_is_named() {
        let finding = |provider, usable, detail: &str| Finding {
            server: Server::Redis,
            provider,
            usable,
            detail: detail.to_owned(),
        };
        let findings = [
            finding(Provider::External, false, "REDIS_URL is not set"),
            finding(Provider::Native, true, "/usr/bin/redis-server"),
        ];
        assert_eq!(
            section(&findings, Server::Redis),
            "redis: auto takes native\n  no  external    REDIS_URL is not set\n  yes native      /usr/bin/redis-server"
        );
        assert_eq!(section(&findings[..1], Server::Kafka), "kafka: nothing can be taken");
    }
}
