//! A server that can be replaced and a network that can be cut: a proxy on a port of its own in front of a Redis, so
//! that caches keep their address while what lies behind it changes.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Where connections lead: nowhere, or to a port of this machine.
pub(crate) struct Proxy {
    address: SocketAddr,
    backend: Arc<watch::Sender<Backend>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Backend {
    port: Option<u16>,
    /// Raised when the connections that are open are cut.
    cuts: u32,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let backend = Arc::new(watch::Sender::new(Backend {
            port: Some(port),
            cuts: 0,
        }));
        let task = tokio::spawn(accept(listener, backend.subscribe()));
        Self { address, backend, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Cuts all connections; new ones end at once.
    pub(crate) fn cut(&self) {
        self.change(None, true);
    }

    /// Cuts all connections; new ones lead to `port`.
    pub(crate) fn lead_to(&self, port: u16) {
        self.change(Some(port), true);
    }

    /// New connections lead to `port`; those that are open stay.
    pub(crate) fn lead_new_ones_to(&self, port: u16) {
        self.change(Some(port), false);
    }

    fn change(&self, port: Option<u16>, cuts: bool) {
        self.backend.send_modify(|backend| {
            backend.port = port;
            backend.cuts += u32::from(cuts);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, backend: watch::Receiver<Backend>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(forward(client, backend.clone()));
    }
}

async fn forward(mut client: TcpStream, mut backend: watch::Receiver<Backend>) {
    let begun = *backend.borrow_and_update();
    let Some(port) = begun.port else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = backend.wait_for(|now| now.cuts != begun.cuts) => {}
    }
}
