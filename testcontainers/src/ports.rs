//! Free ports of the loopback address. A port is free only at the moment of asking, so starting a server on it is retried.

use std::io;
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
        self.next_ports().map(|[port]| port)
    }

    /// Ports that are free now, all different, for a server that needs several at once.
    pub(crate) fn next_ports<const N: usize>(&mut self) -> Result<[u16; N], StackError> {
        self.tried += 1;
        // All held until all are known: a port that is let go may be given out again.
        let held: io::Result<Vec<TcpListener>> = (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let held = held.map_err(|cause| self.none(&cause))?;
        let mut ports = [0; N];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr().map_err(|cause| self.none(&cause))?.port();
        }
        Ok(ports)
    }

    fn none(&self, cause: &io::Error) -> StackError {
        StackError::Start {
            server: self.server,
            problem: format!("no free port on 127.0.0.1: {cause}"),
            log_tail: String::new(),
        }
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
    fn ports_for_one_server_differ() {
        let [one, two, three] = Candidates::new(Server::Kafka).next_ports().unwrap();
        assert!(one != two && two != three && one != three, "{one} {two} {three}");
    }

    #[test]
    fn other_failures_are_not_repeated() {
        let mut ports = Candidates::new(Server::Redis);
        ports.next_port().unwrap();
        assert!(!ports.another_after(&StackError::MissingUrl { server: Server::Redis }));
    }
}
