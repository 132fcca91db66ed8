//! Makes connections: TCP to one of the addresses, and TLS on it where the target has it; each step timed.

use std::{io, net::SocketAddr, sync::Arc};

use measure::recorder::{Handshaken, Opened};
use rustls::{HandshakeKind, pki_types::ServerName};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;

use crate::{
    stream::Stream,
    target::{Protocol, Target},
    timeline::micros,
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
}

/// How long it took to make a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    /// Until TCP was connected, addresses that refused included.
    pub(crate) connect_us: u64,
    /// The TLS handshake behind it.
    pub(crate) handshake: Option<Handshaken>,
}

impl Made {
    /// As it is counted, made for a request that was due then.
    pub(crate) fn due_at(self, at_us: u64) -> Opened {
        Opened {
            at_us,
            connect_us: self.connect_us,
            handshake: self.handshake,
        }
    }
}

/// Makes the connections of one user or slot.
pub(crate) struct Dialer {
    addresses: Arc<[SocketAddr]>,
    /// The one that a connection begins at.
    first: usize,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// Dials for connection `number` of its round.
    pub(crate) fn new(target: &Target, number: usize) -> Self {
        Self::offering(target, number, &[target.protocol])
    }

    /// As [`Self::new`], where the server may choose among protocols.
    pub(crate) fn offering(target: &Target, number: usize, offered: &[Protocol]) -> Self {
        let tls = target.tls.as_ref();
        Self {
            addresses: target.addresses.as_slice().into(),
            first: number % target.addresses.len(),
            tls: tls.map(|tls| (tls.connector(offered), tls.name.clone())),
        }
    }

    /// A new connection, at the first of the addresses that takes one.
    pub(crate) async fn dial(&self) -> Result<(Stream, Made), DialError> {
        let began = Instant::now();
        let tcp = self.connect().await.map_err(DialError::Connect)?;
        let connected = Instant::now();
        let connect_us = micros(connected - began);
        let Some((connector, name)) = &self.tls else {
            let made = Made {
                connect_us,
                handshake: None,
            };
            return Ok((Stream::Plain(tcp), made));
        };
        let stream = connector.connect(name.clone(), tcp).await;
        let stream = stream.map_err(DialError::Handshake)?;
        let is_resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let handshake = Some(Handshaken {
            took_us: micros(connected.elapsed()),
            is_resumed,
        });
        Ok((Stream::Tls(Box::new(stream)), Made { connect_us, handshake }))
    }

    /// Tries the addresses in turn; the error is that of the last one.
    pub(crate) async fn connect(&self) -> io::Result<TcpStream> {
        let mut outcome = Err(io::Error::other("the name stands for no address"));
        for number in 0..self.addresses.len() {
            outcome = connect(self.addresses[(self.first + number) % self.addresses.len()]).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
