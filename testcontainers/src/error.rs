//! Everything that can go wrong with a server: what, where, and what to do about it, in one message that needs no
//! chain. A message never shows a password.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::info::Server;
use crate::process::ProcessError;

/// Why a server could not be provided, used or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// An option or environment variable has a value that is not understood.
    #[error("{name}: {problem}; {advice}")]
    Option {
        /// The variable's or option's name.
        name: &'static str,
        /// Description of the wrong value.
        problem: String,
        /// Example or rule for a right value.
        advice: String,
    },
    /// The external provider was asked for, but nothing says where the server is.
    #[error(
        "{server}: the external provider needs {}, which is not set; set it (for example {0}={1}) or choose another \
         provider (STACK_PROVIDER=auto)",
        server.variable(), server.example()
    )]
    MissingUrl {
        /// The server that is not pointed to.
        server: Server,
    },
    /// An external server cannot be used.
    #[error("{server} at {place} (from {}): {problem}; {advice}", server.variable())]
    External {
        /// The server in question.
        server: Server,
        /// Its address without the password.
        place: String,
        /// Answer of the server or of the network.
        problem: String,
        /// Things to check.
        advice: &'static str,
    },
    /// A program that the native provider needs is not there.
    #[error("{server}: {searched}; install it with `{install}`, or set {} to a running server", server.variable())]
    NotInstalled {
        /// The server that cannot be started.
        server: Server,
        /// Program that was looked for, and where.
        searched: String,
        /// The command that installs it on Debian and its relatives.
        install: &'static str,
    },
    /// Containers were asked for, and no engine answers.
    #[error(
        "{server}: {problem}; start a container engine, point DOCKER_HOST to its socket, or choose another provider"
    )]
    NoEngine {
        /// The server that cannot be started.
        server: Server,
        /// Question to the engine and its answer.
        problem: String,
    },
    /// The container engine has no image for the server and cannot get it.
    #[error(
        "{server}: {problem}; check {}, or build images on this machine with `cargo xtask images`",
        server.image_variable()
    )]
    NoImage {
        /// The server that cannot be started.
        server: Server,
        /// Which image, and what the engine answered.
        problem: String,
    },
    /// Kafka could not be put together from its published artifacts.
    #[error(
        "kafka could not be assembled: {problem}; \
         set KAFKA_HOME to an unpacked Kafka, or KAFKA_BROKERS to a running one"
    )]
    Assembly {
        /// Step that failed, and how.
        problem: String,
    },
    /// A server could not write its files.
    #[error(
        "{server} did not start: the disk is full at {}; free some space, or set TMPDIR to a place that has more",
        directory.display()
    )]
    DiskFull {
        /// The server in question.
        server: Server,
        /// Where its files are.
        directory: PathBuf,
    },
    /// Servers refuse to run as root, and no other user was found to run them as.
    #[error(
        "{server} must not run as root, and there is neither a user `{preferred}` nor `nobody` to run it as; \
         create one (`useradd --system {preferred}`) or run this as an ordinary user"
    )]
    NoUser {
        /// The server that cannot be started.
        server: Server,
        /// The user that was looked for first.
        preferred: &'static str,
    },
    /// Its process or container did not start, was not ready in time, ended by itself, or could not be ended.
    #[error("{server} {problem}")]
    Process {
        /// The server in question.
        server: Server,
        /// Failure of its process or container.
        problem: ProcessError,
    },
    /// Another process took the port between its choice and the server's start. Retried a few times before it is
    /// reported.
    #[error("{server} did not start: port {port} of 127.0.0.1 was taken by another process each time; try again")]
    PortTaken {
        /// The server in question.
        server: Server,
        /// The last port tried.
        port: u16,
    },
    /// The server refused or failed an administrative request.
    #[error("{server}: cannot {action}: {problem}")]
    Request {
        /// The server in question.
        server: Server,
        /// Request, as in "create database `x`".
        action: String,
        /// Answer of the server.
        problem: String,
    },
    /// A file or directory of a server could not be handled.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// Verb of the operation ("create", "remove").
        action: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Answer of the operating system.
        cause: io::Error,
    },
}

impl StackError {
    /// For `map_err`: what happened to the server's process or container.
    pub(crate) fn process(server: Server) -> impl Fn(ProcessError) -> Self {
        move |problem| Self::Process { server, problem }
    }

    /// A start that failed before there was a log.
    pub(crate) fn not_started(server: Server, problem: impl fmt::Display) -> Self {
        Self::process(server)(ProcessError::not_started(problem))
    }

    /// For `map_err`: a server that could not be ended.
    pub(crate) fn stop<E: fmt::Display>(server: Server) -> impl Fn(E) -> Self {
        move |problem| Self::process(server)(ProcessError::stop(problem))
    }

    /// For `map_err`: an administrative request that failed.
    pub(crate) fn request<E: ToString>(server: Server, action: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |problem| Self::Request {
            server,
            action: action.into(),
            problem: problem.to_string(),
        }
    }

    /// For `map_err`: a file operation that failed.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::File {
            action,
            path: path.to_owned(),
            cause,
        }
    }
}
