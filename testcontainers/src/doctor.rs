//! What is here: for each server, what each provider would use, and what installs what is missing. Nothing is started,
//! pulled or assembled; external servers are asked who they are.

use crate::choose::address;
use crate::engine;
use crate::error::StackError;
use crate::info::{Provider, Server};
use crate::options::{Choice, StackOptions};
use crate::{Kafka, Postgres, Redis, kafka, postgres, redis};

/// One provider of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which server.
    pub server: Server,
    /// By which provider.
    pub provider: Provider,
    /// Whether a start would find what it needs.
    pub usable: bool,
    /// What it would use; or what is missing, with the command or variable that provides it.
    pub detail: String,
}

/// Looks around for all servers, in the order in which `auto` looks.
pub async fn examine(options: &StackOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in [Server::Postgres, Server::Redis, Server::Kafka] {
        findings.push(external(server, options).await);
        let container = engine::source(server, options).await.map_err(|lack| lack.to_string());
        findings.push(finding(server, Provider::Containers, container));
        let native = native(server, options).map_err(|error| error.to_string());
        findings.push(finding(server, Provider::Native, native));
    }
    let mock = "librdkafka's mock broker in the process: for functional checks, never for figures".to_owned();
    findings.push(finding(Server::Kafka, Provider::Embedded, Ok(mock)));
    findings
}

/// What `auto` takes of these for a server, if nothing goes wrong at the start.
pub fn taken(findings: &[Finding], server: Server) -> Option<&Finding> {
    findings
        .iter()
        .find(|finding| finding.server == server && finding.usable)
}

fn finding(server: Server, provider: Provider, found: Result<String, String>) -> Finding {
    Finding {
        server,
        provider,
        usable: found.is_ok(),
        detail: found.unwrap_or_else(|lack| lack),
    }
}

async fn external(server: Server, options: &StackOptions) -> Finding {
    let variable = server.variable();
    if address(server, &options.external).is_none() {
        return finding(server, Provider::External, Err(format!("{variable} is not set")));
    }
    let answer = ask(server, options).await;
    let told = answer.map(|version| format!("{variable} leads to {server} {version}"));
    finding(server, Provider::External, told.map_err(|error| error.to_string()))
}

/// The version of the server that the options point to.
async fn ask(server: Server, options: &StackOptions) -> Result<String, StackError> {
    let options = StackOptions {
        choice: Choice::External,
        ..options.clone()
    };
    Ok(match server {
        Server::Postgres => Postgres::start(&options).await?.info().version.clone(),
        Server::Redis => Redis::start(&options).await?.info().version.clone(),
        Server::Kafka => Kafka::start(&options).await?.info().version.clone(),
    })
}

fn native(server: Server, options: &StackOptions) -> Result<String, StackError> {
    match server {
        Server::Postgres => postgres::native_source(options),
        Server::Redis => redis::native_source(options),
        Server::Kafka => kafka::native_source(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::External;

    #[tokio::test]
    async fn what_is_missing_is_said_with_what_provides_it() {
        let options = StackOptions {
            redis_server: Some("/no/such/redis-server".into()),
            ..StackOptions::default()
        };
        let findings = examine(&options).await;
        let of = |provider| {
            findings
                .iter()
                .find(|one| (one.server, one.provider) == (Server::Redis, provider))
        };
        let native = of(Provider::Native).unwrap();
        assert!(
            !native.usable && native.detail.contains("apt-get install -y redis-server"),
            "{native:?}"
        );
        let external = of(Provider::External).unwrap();
        assert!(
            !external.usable && external.detail.contains("REDIS_URL"),
            "{external:?}"
        );
        assert!(taken(&findings, Server::Kafka).is_some(), "{findings:?}");
    }

    #[tokio::test]
    async fn an_address_that_leads_nowhere_is_not_usable() {
        let port = crate::ports::Candidates::new(Server::Redis).next_port().unwrap();
        let options = StackOptions {
            external: External {
                redis_url: Some(format!("redis://127.0.0.1:{port}")),
                ..External::default()
            },
            ..StackOptions::default()
        };
        let findings = examine(&options).await;
        let external = findings.iter().find(|one| one.server == Server::Redis).unwrap();
        assert!(
            !external.usable && external.detail.contains("(from REDIS_URL)"),
            "{external:?}"
        );
        assert_ne!(
            taken(&findings, Server::Redis).map(|one| one.provider),
            Some(Provider::External)
        );
    }
}
