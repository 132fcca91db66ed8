//! A server from the choice of its provider to its end, whichever kind it is (`kind`).

use std::fmt;
use std::path::Path;

use crate::choose::{Way, choose};
use crate::container::{self, Container};
use crate::error::StackError;
use crate::info::{Provider, ServerInfo};
use crate::kind::{Facts, Kind};
use crate::made::Made;
use crate::native::{self, NativeServer};
use crate::options::{Choice, StackOptions};

/// A server that answers. Dropping it stops what was started here, or removes what was made through it on an external
/// server.
pub struct Running<C> {
    info: ServerInfo,
    pub(crate) client: C,
    backend: Backend,
}

enum Backend {
    External(Made),
    Container(Container),
    Native(Box<NativeServer>),
    /// It lives in the client.
    Embedded,
}

// By hand, because clients know passwords.
impl<C> fmt::Debug for Running<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Takes the provider that the options lead to, waits until the server answers, and announces which it is and why.
pub(crate) async fn start<K: Kind>(
    options: &StackOptions,
    announce: &mut impl FnMut(&str),
) -> Result<Running<K::Client>, StackError> {
    let (way, mut reason) = choose(K::SERVER, options, announce).await?;
    let (client, facts, backend) = match way {
        Way::External => {
            let (client, facts) = K::connect(&options.external).await?;
            let remover = client.clone();
            let made = Made::new(K::SERVER, move |names| Box::pin(K::remove(remover.clone(), names)));
            (client, facts, Backend::External(made))
        }
        Way::Container(image) => {
            let (container, client, facts) = container::start(&K::new(options), &image).await?;
            (client, facts, Backend::Container(container))
        }
        Way::Own => own::<K>(options, &mut reason, announce).await?,
    };
    let provider = match backend {
        Backend::External(_) => Provider::External,
        Backend::Container(_) => Provider::Containers,
        Backend::Native(_) => Provider::Native,
        Backend::Embedded => Provider::Embedded,
    };
    let info = ServerInfo {
        provider,
        reason,
        version: facts.version,
        settings: facts.settings,
        note: facts.note,
    };
    announce(&info.announcement(K::SERVER));
    Ok(Running { info, client, backend })
}

/// A native server, or the embedded one: when that was asked for, or as the last resort of `auto`.
async fn own<K: Kind>(
    options: &StackOptions,
    reason: &mut String,
    announce: &mut impl FnMut(&str),
) -> Result<(K::Client, Facts, Backend), StackError> {
    let embedded = |(client, facts)| (client, facts, Backend::Embedded);
    let programs = match (options.choice, K::EMBEDDED) {
        (Choice::Embedded, Some(start)) => return start().map(embedded),
        (Choice::Auto, Some(start)) => match K::programs(options, announce).await {
            Ok(programs) => programs,
            Err(lack) => {
                *reason = format!("{reason}, and there is no native one ({lack})");
                return start().map(embedded);
            }
        },
        _ => K::programs(options, announce).await?,
    };
    if options.choice == Choice::Embedded {
        *reason = format!("there is no embedded provider for {}", K::SERVER);
    }
    let (server, client, facts) = native::start(&K::new(options), &programs, options).await?;
    Ok((client, facts, Backend::Native(Box::new(server))))
}

impl<C> Running<C> {
    /// Provider, version and settings.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The server's process id, if it is a local process that was started here. Of Postgres it is the postmaster's,
    /// whose children are the backends.
    pub fn pid(&self) -> Option<u32> {
        self.native().map(NativeServer::pid)
    }

    /// Where its data and log are, if it was started here natively.
    pub fn directory(&self) -> Option<&Path> {
        self.native().map(NativeServer::directory)
    }

    fn native(&self) -> Option<&NativeServer> {
        match &self.backend {
            Backend::Native(server) => Some(server.as_ref()),
            Backend::External(_) | Backend::Container(_) | Backend::Embedded => None,
        }
    }

    /// Names of the databases or topics made on an external server; `None` where everything goes with the server.
    pub(crate) fn made(&self) -> Option<&Made> {
        match &self.backend {
            Backend::External(made) => Some(made),
            Backend::Container(_) | Backend::Native(_) | Backend::Embedded => None,
        }
    }
}

impl<C: Send + 'static> Running<C> {
    /// Stops what was started here, or removes what was made on an external server, and reports failures.
    pub async fn stop(self) -> Result<(), StackError> {
        // Off the runtime's threads: Kafka's clients wait for threads of their own. A panic there is reported there.
        let client = self.client;
        let _ = tokio::task::spawn_blocking(move || drop(client)).await;
        match self.backend {
            Backend::External(made) => made.remove_all().await,
            Backend::Container(container) => container.stop().await,
            Backend::Native(server) => server.stop().await,
            Backend::Embedded => Ok(()),
        }
    }
}
