//! Live clients: events as they happen, over a WebSocket (`GET /live`).
//!
//! What belongs here: from the topic to the sockets. The [`source`] follows every partition of the topic, so that each
//! replica shows every event, whichever scored it; [`shard`]s filter and hand out, each for a part of the clients; a
//! [`session`] is one client's socket. Who may watch what is decided at the handshake, by the caller.
//!
//! One event is written once, one frame once for all who subscribed alike. A client's queue is bounded in bytes: what
//! finds no room is dropped and counted, and the client is told; one that takes nothing is disconnected. What was
//! missed can be had again: every frame has a position, from which a subscription goes on, at any replica and after a
//! restart, as far as the history reaches.

mod event;
mod history;
mod hub;
mod limits;
mod position;
mod protocol;
mod queue;
mod session;
mod shard;
mod source;
mod subscription;

pub use hub::{Admission, Hub, HubRole, Refusal};
pub use protocol::SUBPROTOCOL;
pub use subscription::Scope;

/// Read at once from a client's socket. Resident for each client, because the library fills it with zeros before each
/// read; a subscription has some hundred bytes.
pub const READ_BUFFER_BYTES: usize = 1024;
/// Gathered before the socket is written to. Not resident while nothing is sent.
pub const WRITE_BUFFER_BYTES: usize = 16 * 1024;
