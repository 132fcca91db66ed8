//! Where requests go: addresses, protocol, TLS, and the path before all paths.

use std::{fmt, net::SocketAddr, time::Duration};

use measure::record::Transport;
use scenarios::HttpVersion;
use tokio::time::timeout;

use crate::{
    dial::{DialError, Dialer},
    tls::Tls,
};

/// A server that is up makes a connection far sooner.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Protocol of the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, one request after the other on a connection.
    #[default]
    Http1,
    /// HTTP/2, several at once on a connection.
    Http2,
}

impl Protocol {
    /// Its name in a TLS handshake (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// The addresses that its name stands for, at least one. Connections begin at them in turn, and go on to the next
    /// where one refuses.
    pub addresses: Vec<SocketAddr>,
    /// The `host` header.
    pub host: String,
    /// Stands before the path of every request; without a slash at its end, mostly empty.
    pub base_path: String,
    /// Protocol of its connections.
    pub protocol: Protocol,
    /// Absent where nothing is encrypted.
    pub tls: Option<Tls>,
    /// Version and cipher suite that the server chose, once [settled](Self::settle).
    pub cipher: Option<String>,
}

impl Target {
    /// The address itself is the host; HTTP/1.1 in plain text.
    pub fn at(address: SocketAddr) -> Self {
        Self::named(vec![address], address.to_string())
    }

    /// A name with its addresses; HTTP/1.1 in plain text.
    pub fn named(addresses: Vec<SocketAddr>, host: String) -> Self {
        Self {
            addresses,
            host,
            base_path: String::new(),
            protocol: Protocol::Http1,
            tls: None,
            cipher: None,
        }
    }

    /// The first of its addresses, for whoever needs just one.
    ///
    /// # Panics
    /// If it has none.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Its scheme, as in an address.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// This target with the protocol that `wanted` comes to: over TLS what the server chooses among what is offered, in
    /// plain text HTTP/1.1 unless HTTP/2 is asked for by its version (prior knowledge). One connection is made for it.
    ///
    /// # Errors
    /// In words, when the server cannot be reached, is not believed, or speaks nothing that was offered.
    pub async fn settle(mut self, wanted: HttpVersion) -> Result<Self, String> {
        let offered: &[Protocol] = match wanted {
            HttpVersion::Auto => &[Protocol::Http2, Protocol::Http1],
            HttpVersion::One => &[Protocol::Http1],
            HttpVersion::Two => &[Protocol::Http2],
        };
        if self.tls.is_none() {
            return Ok(self.in_plain_text(wanted));
        }
        let dialer = Dialer::offering(&self, 0, offered);
        let dialled = timeout(SETTLE_TIMEOUT, dialer.dial())
            .await
            .map_err(|_| format!("no TLS handshake within {} s", SETTLE_TIMEOUT.as_secs()))?;
        let (stream, _) = dialled.map_err(|error| advice(&error))?;
        let chosen = stream.alpn().map(<[u8]>::to_vec);
        self.cipher = stream.cipher();
        // Servers that know nothing of ALPN speak HTTP/1.1.
        self.protocol = match chosen.as_deref() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        if !offered.contains(&self.protocol) {
            return Err(format!("it does not speak {}, only {}", offered[0], self.protocol));
        }
        Ok(self)
    }

    /// This target with the protocol of a version, where nothing is encrypted: there nobody can be asked.
    pub(crate) fn in_plain_text(mut self, wanted: HttpVersion) -> Self {
        if self.tls.is_none() {
            self.protocol = match wanted {
                HttpVersion::Auto | HttpVersion::One => Protocol::Http1,
                HttpVersion::Two => Protocol::Http2,
            };
        }
        self
    }

    /// As the record keeps it, with so many streams on each connection.
    pub(crate) fn transport(&self, streams: u32) -> Transport {
        Transport {
            protocol: self.protocol.to_string(),
            tls: self.cipher.clone(),
            is_insecure: self.tls.as_ref().is_some_and(Tls::is_insecure),
            has_client_certificate: self.tls.as_ref().is_some_and(Tls::has_client_certificate),
            streams: match self.protocol {
                Protocol::Http1 => 1,
                Protocol::Http2 => streams,
            },
        }
    }
}

/// A failed handshake in words, with what may be done about it.
fn advice(error: &DialError) -> String {
    let DialError::Handshake(_) = error else {
        return error.to_string();
    };
    let text = error.to_string();
    if text.contains("invalid peer certificate") {
        format!("{text}; name the authority that vouches for it with --cacert FILE, or believe anybody with --insecure")
    } else {
        text
    }
}
