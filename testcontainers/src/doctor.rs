//! Finds out for each server what each provider would use, and what installs what is missing. Nothing is started,
//! pulled or assembled; external servers are asked who they are.

use crate::engine;
use crate::error::StackError;
use crate::info::{Provider, Server};
use crate::kafka::KafkaKind;
use crate::kind::Kind;
use crate::options::StackOptions;
use crate::postgres::PostgresKind;
use crate::redis::RedisKind;

/// One provider of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which server.
    pub server: Server,
    /// By which provider.
    pub provider: Provider,
    /// Whether a start would find what it needs.
    pub usable: bool,
    /// Programs or image that it would use; or what is missing, with the command or variable that provides it.
    pub detail: String,
}

/// Looks around for all servers, in the order in which `auto` looks.
pub async fn examine(options: &StackOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    look::<PostgresKind>(options, &mut findings).await;
    look::<RedisKind>(options, &mut findings).await;
    look::<KafkaKind>(options, &mut findings).await;
    findings
}

async fn look<K: Kind>(options: &StackOptions, findings: &mut Vec<Finding>) {
    let server = K::SERVER;
    let mut find = |provider, found: Result<String, String>| {
        findings.push(Finding {
            server,
            provider,
            usable: found.is_ok(),
            detail: found.unwrap_or_else(|lack| lack),
        });
    };
    find(Provider::External, external::<K>(options).await);
    let container = engine::source(server, options).await;
    find(Provider::Containers, container.map_err(|lack| lack.to_string()));
    find(Provider::Native, K::source(options).map_err(|error| error.to_string()));
    if K::EMBEDDED.is_some() {
        let mock = "librdkafka's mock broker in the process: for functional checks, never for figures";
        find(Provider::Embedded, Ok(mock.to_owned()));
    }
}

async fn external<K: Kind>(options: &StackOptions) -> Result<String, String> {
    let variable = K::SERVER.variable();
    if options.external.address(K::SERVER).is_none() {
        return Err(format!("{variable} is not set"));
    }
    let (_, facts) = K::connect(&options.external)
        .await
        .map_err(|error: StackError| error.to_string())?;
    Ok(format!("{variable} leads to {} {}", K::SERVER, facts.version))
}

/// Finding that `auto` takes for a server, if nothing goes wrong at the start.
pub fn taken(findings: &[Finding], server: Server) -> Option<&Finding> {
    findings
        .iter()
        .find(|finding| finding.server == server && finding.usable)
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
        let [port, ..] = crate::ports::free(Server::Redis).unwrap();
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
