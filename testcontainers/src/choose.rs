//! The order of providers: from the caller's choice and the given addresses to the provider taken and the reason for it.
//! Pure; nothing is started or asked here.

use crate::error::StackError;
use crate::info::{Provider, Server};
use crate::options::{Choice, External, StackOptions};

/// A provider and why it was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) provider: Provider,
    /// The end of a sentence, for [`crate::ServerInfo::reason`].
    pub(crate) reason: String,
}

impl Taken {
    fn new(provider: Provider, reason: impl Into<String>) -> Self {
        Self {
            provider,
            reason: reason.into(),
        }
    }
}

/// Decides for one server. An address that is given but does not work is an error later on, not a reason to fall back:
/// whoever sets `DATABASE_URL` wants that server measured and no other.
pub(crate) fn choose(server: Server, options: &StackOptions) -> Result<Taken, StackError> {
    let given = address(server, &options.external).is_some();
    let variable = server.variable();
    match options.choice {
        Choice::Auto if given => Ok(Taken::new(Provider::External, format!("{variable} is given"))),
        Choice::Auto => Ok(Taken::new(own(server), format!("{variable} is not given"))),
        Choice::External if given => Ok(Taken::new(Provider::External, "it was asked for")),
        Choice::External => Err(StackError::MissingUrl { server }),
        Choice::Native => Ok(own_for(server, Provider::Native)),
        Choice::Embedded => Ok(own_for(server, Provider::Embedded)),
    }
}

/// Where the external server of this kind is, if the options say so.
pub(crate) fn address(server: Server, external: &External) -> Option<&str> {
    match server {
        Server::Postgres => external.database_url.as_deref(),
        Server::Redis => external.redis_url.as_deref(),
        Server::Kafka => external.kafka_brokers.as_deref(),
    }
}

/// The provider that needs nothing from outside.
fn own(server: Server) -> Provider {
    match server {
        Server::Postgres | Server::Redis => Provider::Native,
        Server::Kafka => Provider::Embedded,
    }
}

fn own_for(server: Server, wanted: Provider) -> Taken {
    let own = own(server);
    let reason = if own == wanted {
        "it was asked for".to_owned()
    } else {
        format!("there is no {wanted} provider for {server}")
    };
    Taken::new(own, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(choice: Choice) -> StackOptions {
        let external = External {
            redis_url: Some("redis://h".to_owned()),
            ..External::default()
        };
        StackOptions {
            choice,
            external,
            ..StackOptions::default()
        }
    }

    fn taken(server: Server, choice: Choice) -> (Provider, String) {
        let Taken { provider, reason } = choose(server, &options(choice)).unwrap();
        (provider, reason)
    }

    #[test]
    fn auto_takes_what_is_given_and_its_own_otherwise() {
        assert_eq!(
            taken(Server::Redis, Choice::Auto),
            (Provider::External, "REDIS_URL is given".to_owned())
        );
        assert_eq!(
            taken(Server::Postgres, Choice::Auto),
            (Provider::Native, "DATABASE_URL is not given".to_owned())
        );
        assert_eq!(
            taken(Server::Kafka, Choice::Auto),
            (Provider::Embedded, "KAFKA_BROKERS is not given".to_owned())
        );
    }

    #[test]
    fn a_provider_that_does_not_exist_is_replaced_and_said() {
        assert_eq!(
            taken(Server::Redis, Choice::Native),
            (Provider::Native, "it was asked for".to_owned())
        );
        let redis = (Provider::Native, "there is no embedded provider for redis".to_owned());
        assert_eq!(taken(Server::Redis, Choice::Embedded), redis);
        let kafka = (Provider::Embedded, "there is no native provider for kafka".to_owned());
        assert_eq!(taken(Server::Kafka, Choice::Native), kafka);
    }

    #[test]
    fn external_without_an_address_names_the_variable() {
        let error = choose(Server::Postgres, &options(Choice::External))
            .unwrap_err()
            .to_string();
        assert!(error.contains("DATABASE_URL=postgres://"), "{error}");
    }
}
