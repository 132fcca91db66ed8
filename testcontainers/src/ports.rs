//! Free ports of the loopback address. A port is free only at the moment of asking, so starting a server on it is
//! retried.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::StackError;
use crate::info::Server;

/// Losing the race for a port is rare; losing it this often in a row means something else is wrong.
const ATTEMPTS: u32 = 5;

/// The ports of one server, all different: that of its clients, and two more for servers that have more listeners.
pub(crate) type Ports = [u16; 3];

/// Starts a server on ports that are free now, and on others when somebody else was quicker.
pub(crate) async fn retried<T, Fut>(server: Server, start: impl Fn(Ports) -> Fut) -> Result<T, StackError>
where
    Fut: Future<Output = Result<T, StackError>>,
{
    let mut tried = 1;
    loop {
        match start(free(server)?).await {
            Err(StackError::PortTaken { .. }) if tried < ATTEMPTS => tried += 1,
            started => return started,
        }
    }
}

/// A port of 127.0.0.1 that is free now.
///
/// # Errors
/// When the operating system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Ports that are free now.
pub(crate) fn free(server: Server) -> Result<Ports, StackError> {
    let found = || -> io::Result<Ports> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All held until all are known: a port that is let go may be given out again.
        let held = [bind()?, bind()?, bind()?];
        let [one, two, three] = held
            .each_ref()
            .map(|listener| listener.local_addr().map(|address| address.port()));
        Ok([one?, two?, three?])
    };
    found().map_err(|cause| StackError::not_started(server, format!("no free port on 127.0.0.1: {cause}")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SERVER: Server = Server::Redis;

    #[tokio::test]
    async fn a_taken_port_is_followed_by_others_until_the_attempts_are_used_up() {
        let tried = Cell::new(0);
        let unlucky = async |ports: Ports| {
            tried.set(tried.get() + 1);
            let [port, second, third] = ports;
            assert!(
                port != 0 && port != second && second != third && port != third,
                "{ports:?}"
            );
            Err::<(), _>(StackError::PortTaken { server: SERVER, port })
        };
        let error = retried(SERVER, unlucky).await.unwrap_err();
        assert!(matches!(error, StackError::PortTaken { .. }), "{error}");
        assert_eq!(tried.get(), ATTEMPTS);
    }

    #[tokio::test]
    async fn other_failures_are_not_repeated() {
        let tried = Cell::new(0);
        let broken = async |_: Ports| {
            tried.set(tried.get() + 1);
            Err::<(), _>(StackError::MissingUrl { server: SERVER })
        };
        retried(SERVER, broken).await.unwrap_err();
        assert_eq!(tried.get(), 1);
    }
}
