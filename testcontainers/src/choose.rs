//! The order of providers: from the caller's choice and what is at hand to the way taken and the reason for it. Nothing
//! is started here; the container engine is asked whether it has, or can get, the image.

use crate::engine::{self, Image};
use crate::error::StackError;
use crate::info::Server;
use crate::options::{Choice, StackOptions};

/// Reason for a way that the caller chose.
const ASKED_FOR: &str = "it was asked for";

/// Where a server comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The address that was given.
    External,
    /// A container of this image.
    Container(Image),
    /// Started without an engine: local binaries, or Kafka's embedded stand-in.
    Own,
}

/// Decides for one server: the way taken and why, as the end of a sentence ([`crate::ServerInfo::reason`]). An address
/// that is given but does not work is an error later on, not a reason to fall back: whoever sets `DATABASE_URL` wants
/// that server measured and no other.
pub(crate) async fn choose(
    server: Server,
    options: &StackOptions,
    announce: &mut impl FnMut(&str),
) -> Result<(Way, String), StackError> {
    let given = options.external.address(server).is_some();
    let variable = server.variable();
    let asked_for = |way| Ok((way, ASKED_FOR.to_owned()));
    match options.choice {
        Choice::Auto if given => Ok((Way::External, format!("{variable} is given"))),
        Choice::Auto => Ok(match engine::image_for(server, options, announce).await {
            Ok(image) => (
                Way::Container(image),
                format!("{variable} is not given and a container engine answers"),
            ),
            Err(lack) => (Way::Own, format!("{variable} is not given and {lack}")),
        }),
        Choice::External if given => asked_for(Way::External),
        Choice::External => Err(StackError::MissingUrl { server }),
        Choice::Containers => {
            let image = engine::image_for(server, options, announce).await;
            asked_for(Way::Container(image.map_err(|lack| lack.into_error(server))?))
        }
        Choice::Native | Choice::Embedded => asked_for(Way::Own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::External;

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

    async fn taken(server: Server, choice: Choice) -> Result<(Way, String), StackError> {
        choose(server, &options(choice), &mut |_: &str| ()).await
    }

    #[tokio::test]
    async fn what_is_given_comes_first() {
        let given = (Way::External, "REDIS_URL is given".to_owned());
        assert_eq!(taken(Server::Redis, Choice::Auto).await.unwrap(), given);
        let asked = (Way::External, ASKED_FOR.to_owned());
        assert_eq!(taken(Server::Redis, Choice::External).await.unwrap(), asked);
    }

    #[tokio::test]
    async fn what_was_asked_for_is_taken_though_an_address_is_given() {
        let asked = (Way::Own, ASKED_FOR.to_owned());
        assert_eq!(taken(Server::Redis, Choice::Native).await.unwrap(), asked);
    }

    #[tokio::test]
    async fn auto_says_what_it_found_at_the_engine() {
        let (way, reason) = taken(Server::Postgres, Choice::Auto).await.unwrap();
        assert!(reason.starts_with("DATABASE_URL is not given and "), "{reason}");
        let engine = reason == "DATABASE_URL is not given and a container engine answers";
        assert_eq!(engine, matches!(way, Way::Container(_)), "{way:?}: {reason}");
    }

    #[tokio::test]
    async fn external_without_an_address_names_the_variable() {
        let error = taken(Server::Postgres, Choice::External).await.unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL=postgres://"), "{error}");
    }
}
