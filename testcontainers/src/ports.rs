//! Free ports of the loopback address. A port is free only at the moment of asking, so starting a server on it is retried.

use std::net::{Ipv4Addr, TcpListener};

use crate::error::StackError;
use crate::info::Server;

/// Losing the race for a port is rare; losing it this often in a row means something else is wrong.
const ATTEMPTS: u32 = 5;

/// The ports to try for one server, one after the other.
#[derive(Debug)]
pub(crate) struct Candidates {
    server: Server,
    tried: u32,
}

impl Candidates {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, tried: 0 }
    }

    /// A port that is free now.
    pub(crate) fn next_port(&mut self) -> Result<u16, StackError> {
        self.tried += 1;
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = bound.map_err(|cause| StackError::Start {
            server: self.server,
            problem: format!("no free port on 127.0.0.1: {cause}"),
            log_tail: String::new(),
        })?;
        Ok(address.port())
    }

    /// Whether a failed start is worth another port: somebody else was quicker, and not too many times.
    pub(crate) fn another_after(&self, error: &StackError) -> bool {
        matches!(error, StackError::PortTaken { .. }) && self.tried < ATTEMPTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_followed_by_another_until_the_attempts_are_used_up() {
        let mut ports = Candidates::new(Server::Redis);
        let mut tries = 0;
        loop {
            let port = ports.next_port().unwrap();
            assert_ne!(port, 0);
            tries += 1;
            if !ports.another_after(&StackError::PortTaken {
                server: Server::Redis,
                port,
            }) {
                break;
            }
        }
        assert_eq!(tries, ATTEMPTS);
    }

    #[test]
    fn other_failures_are_not_repeated() {
        let mut ports = Candidates::new(Server::Redis);
        ports.next_port().unwrap();
        assert!(!ports.another_after(&StackError::MissingUrl { server: Server::Redis }));
    }
}
