//! The connection of a user or slot, whatever its protocol.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use scenarios::{Endpoint, Vars};

use crate::{
    Shared,
    answer::{Answer, Expecting},
    connection::{Connection, Outgoing, SendError, Trace},
    multiplex::{Multiplexed, SharedConnection},
    request::{Framed, More, RequestText, Written},
    target::{Protocol, Target},
};

/// Connection of one user or slot: its own, or its part of a shared one.
pub(crate) enum Wire {
    Http1(Connection),
    Http2(Multiplexed),
}

/// A request as it goes out.
pub(crate) enum Rendered<'t> {
    Text(Written<'t>),
    /// None where a value cannot be written.
    Frames(Option<Box<Framed>>),
}

/// Connections that users share, by number. At most as many as the round has connections.
#[derive(Default)]
pub(crate) struct SharedConnections {
    by_number: Mutex<BTreeMap<usize, Arc<SharedConnection>>>,
}

impl Wire {
    /// Connection `number`, which nobody shares.
    pub(crate) fn alone(target: &Target, number: usize) -> Self {
        match target.protocol {
            Protocol::Http1 => Self::Http1(Connection::new(target, number)),
            Protocol::Http2 => Self::Http2(Multiplexed::new(Arc::new(SharedConnection::new(target, number)))),
        }
    }

    /// That of user or slot `index` of a round. So many of them as a connection has streams share one, all on the same
    /// thread.
    pub(crate) fn of(shared: &Shared, index: usize) -> Self {
        let (target, streams) = (&shared.target, shared.streams());
        if streams == 1 {
            return Self::alone(target, index);
        }
        let threads = shared.shards.len();
        let number = index / threads / streams * threads + shared.shard_of(index);
        let mut by_number = shared
            .connections
            .by_number
            .lock()
            .expect("nothing panics while holding it");
        let connection = by_number
            .entry(number)
            .or_insert_with(|| Arc::new(SharedConnection::new(target, number)));
        Self::Http2(Multiplexed::new(Arc::clone(connection)))
    }

    /// The request of `endpoint` with the values of `vars`, in memory of `text` where it is text.
    pub(crate) fn render<'t>(
        &self,
        text: &'t mut RequestText,
        endpoint: &Endpoint,
        target: &Target,
        vars: &Vars,
        more: &More<'_>,
    ) -> Rendered<'t> {
        match self {
            Self::Http1(_) => Rendered::Text(text.write(endpoint, target, vars, more)),
            Self::Http2(_) => Rendered::Frames(text.frame(endpoint, target, vars, more).map(Box::new)),
        }
    }

    /// The answer to the last request.
    pub(crate) fn answer(&mut self) -> &mut Answer {
        match self {
            Self::Http1(connection) => connection.answer(),
            Self::Http2(connection) => connection.answer(),
        }
    }

    /// Sends a request and reads the answer to its last byte.
    pub(crate) async fn send(
        &mut self,
        request: Rendered<'_>,
        (endpoint, is_rested): (&Endpoint, bool),
        expecting: Expecting,
        trace: &mut Trace,
    ) -> Result<(), SendError> {
        match (self, request) {
            (Self::Http1(connection), Rendered::Text(written)) => {
                let outgoing = Outgoing {
                    is_rested,
                    ..Outgoing::of(endpoint, written)
                };
                connection.send(outgoing, expecting, trace).await
            }
            (Self::Http2(connection), Rendered::Frames(Some(framed))) => {
                connection.send(&framed, is_rested, expecting, trace).await
            }
            // Rendered for this connection, so that only what cannot be written is left.
            (Self::Http1(_) | Self::Http2(_), Rendered::Text(_) | Rendered::Frames(_)) => Err(SendError::Spoilt),
        }
    }
}
