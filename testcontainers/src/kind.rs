//! Differences between kinds of servers, as a table of constants and small methods. Choosing a provider, starting,
//! waiting, failing and reporting are the same for all and stand in `server`, `native` and `container`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::options::{External, StackOptions};
use crate::ports::Ports;
use crate::process::Signal;

/// Facts that a server tells about itself, for the record.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Empty when the protocol does not tell.
    pub(crate) version: String,
    pub(crate) settings: BTreeMap<String, String>,
    /// Warning when figures from this server are incomplete or not comparable.
    pub(crate) note: Option<String>,
}

/// A server that answers, by what it is used, and its facts.
pub(crate) type Started<C> = Result<(C, Facts), StackError>;

/// Ports, environment and command of a container.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Where the server listens inside, and the port of 127.0.0.1 where that is to be reached.
    pub(crate) ports: Vec<(u16, u16)>,
    pub(crate) environment: Vec<(String, String)>,
    /// Replaces the image's command; empty leaves it.
    pub(crate) command: Vec<String>,
}

/// One kind of server. A value stands for one start: it holds what only this start knows (a password, a cluster's
/// identity), by which the server that answers is told from a stranger on the same port.
pub(crate) trait Kind: Sized {
    const SERVER: Server;
    /// The user that the packages create; root runs the native server as this one.
    const USER: &'static str;
    /// Ends a native server. Its data is thrown away, so the quickest end that leaves nothing behind is the best.
    const STOP: Signal;
    /// Starts the embedded stand-in, where there is one.
    const EMBEDDED: Option<fn() -> Started<Self::Client>> = None;
    /// Handle by which a server that answers is used and administered.
    type Client: Clone + Send + Sync + 'static;
    /// Installed programs of the native provider.
    type Programs;

    fn new(options: &StackOptions) -> Self;

    /// Connects to a server of somebody else's, once, and asks for the facts. There is no waiting for a server that
    /// does not run: whoever gave the address says that it does.
    async fn connect(external: &External) -> Started<Self::Client>;

    /// Removes what was made on a server of somebody else's.
    fn remove(
        _client: Self::Client,
        _names: BTreeSet<String>,
    ) -> impl Future<Output = Result<(), StackError>> + Send + 'static {
        std::future::ready(Ok(()))
    }

    /// Describes a container that is reached at these ports.
    fn spec(&self, ports: Ports) -> Spec;

    /// Finds what the native provider runs, which may have to be put together first.
    async fn programs(options: &StackOptions, announce: &mut impl FnMut(&str)) -> Result<Self::Programs, StackError>;

    /// Where the native provider would take its programs from, without getting anything.
    fn source(options: &StackOptions) -> Result<String, StackError>;

    /// The version of installed programs, where the server itself does not tell.
    fn version(_programs: &Self::Programs) -> Option<String> {
        None
    }

    /// Fills the directory before the first start.
    async fn prepare(&self, _programs: &Self::Programs, _dir: &ServerDir) -> Result<(), StackError> {
        Ok(())
    }

    /// The native server, to be run in the directory.
    fn command(&self, programs: &Self::Programs, dir: &ServerDir, ports: Ports) -> Result<Command, StackError>;

    /// Asks a server that was started here once, and makes sure that it is ours; `pid` is that of a native one.
    async fn ask(&self, ports: Ports, pid: Option<u32>) -> Result<(Self::Client, Facts), String>;
}
