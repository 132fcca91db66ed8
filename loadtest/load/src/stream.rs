//! The bytes of a connection, encrypted or not: one type for both, without a pointer between for plain ones.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// A connection to a server.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed: rustls' state is a kilobyte, which every idle connection in plain text would carry around.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The protocol that the server chose in the handshake.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// Version and cipher suite of the session.
    pub(crate) fn cipher(&self) -> Option<String> {
        let Self::Tls(tls) = self else { return None };
        let session = tls.get_ref().1;
        let version = session.protocol_version()?.as_str()?.replace('_', ".");
        let suite = session.negotiated_cipher_suite()?.suite().as_str()?;
        // As the registry of the IANA calls it, where rustls calls it TLS13_.
        Some(format!("{version} {}", suite.replace("TLS13_", "TLS_")))
    }

    /// Whether nothing came on an idle connection: what may come there is its end, or bytes that belong to no request.
    /// One that rested is asked for in the kernel; else what the runtime knows is new enough, and costs nothing.
    pub(crate) async fn is_quiet(&mut self, is_rested: bool) -> bool {
        match (self, is_rested) {
            (Self::Plain(tcp), true) => is_empty(tcp),
            (Self::Plain(tcp), false) => would_block(tcp.try_read(&mut [0])),
            (Self::Tls(tls), true) if is_empty(tls.get_ref().0) => true,
            // Between answers a server of TLS 1.3 may send tickets for later sessions; only what is behind them counts.
            (Self::Tls(tls), true) => {
                // The runtime may not have looked since; there is something, so that this does not wait.
                let is_readable = tls.get_ref().0.readable().await.is_ok();
                is_readable && says_nothing(tls).await && is_empty(tls.get_ref().0)
            }
            (Self::Tls(tls), false) => says_nothing(tls).await,
        }
    }

    /// The socket beneath, which tests watch.
    #[cfg(test)]
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

fn would_block<T>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Whether the kernel has neither bytes nor an end for us.
pub(crate) fn is_empty(tcp: &TcpStream) -> bool {
    would_block(SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]))
}

/// Takes in what came, and whether none of it is an end or a part of an answer.
async fn says_nothing(tls: &mut TlsStream<TcpStream>) -> bool {
    let mut byte = [0];
    let mut space = ReadBuf::new(&mut byte);
    poll_fn(|context| Poll::Ready(Pin::new(&mut *tls).poll_read(context, &mut space).is_pending())).await
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, space: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, space),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, space),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, parts),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
