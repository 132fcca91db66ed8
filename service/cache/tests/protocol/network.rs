//! A server that can be replaced and a network that can be cut: a proxy on a port of its own in front of a Redis, so
//! that caches keep their address while what lies behind it changes.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Where connections lead: nowhere, or to a port of this machine. Every change cuts the connections that are open.
pub(crate) struct Proxy {
    address: SocketAddr,
    backend: Arc<watch::Sender<Option<u16>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let backend = Arc::new(watch::Sender::new(Some(port)));
        let task = tokio::spawn(accept(listener, backend.subscribe()));
        Self { address, backend, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Cuts all connections; new ones end at once.
    pub(crate) fn cut(&self) {
        self.backend.send_replace(None);
    }

    /// Cuts all connections; new ones lead to `port`.
    pub(crate) fn lead_to(&self, port: u16) {
        self.backend.send_replace(Some(port));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, backend: watch::Receiver<Option<u16>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(forward(client, backend.clone()));
    }
}

async fn forward(mut client: TcpStream, mut backend: watch::Receiver<Option<u16>>) {
    let Some(port) = *backend.borrow_and_update() else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = backend.changed() => {}
    }
}
