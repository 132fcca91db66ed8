//! What clients and service say to each other: JSON in text frames, one object each, and the codes of a close.
//!
//! docs/SERVICE.md, "Live clients", is the description for clients.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::event::LiveEvent;
use super::position::Position;
use super::subscription::Wish;

/// The subprotocol that a browser names, beside the one with its token.
pub const SUBPROTOCOL: &str = "live.v1";

/// Why the service ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Close {
    /// The service stops: come back, to another replica or to this one.
    Restart,
    /// A message is none of the protocol.
    Protocol,
    /// The token does not count any more.
    Token,
    /// The client takes nothing.
    Slow,
    /// The client says nothing.
    Silent,
}

impl Close {
    /// The code on the wire: RFC 6455's where it has one, from 4000 on where it has none.
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Restart => 1012,
            Self::Protocol => 1008,
            Self::Token => 4001,
            Self::Slow => 4008,
            Self::Silent => 4009,
        }
    }

    /// Words for people.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Restart => "the service stops: connect again with your position",
            Self::Protocol => "that is no message of this protocol",
            Self::Token => "the token has expired or was revoked",
            Self::Slow => "events are not taken fast enough: subscribe to less, then go on from your position",
            Self::Silent => "no answer to pings",
        }
    }

    /// The label of metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Protocol => "protocol",
            Self::Token => "token",
            Self::Slow => "slow",
            Self::Silent => "silent",
        }
    }
}

/// A message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromClient {
    /// From now on this, instead of what was before.
    Subscribe(Wish),
    /// From now on nothing.
    Unsubscribe {},
}

/// A message of the service, but for events.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToClient<'m> {
    /// The subscription holds from this position on.
    Subscribed { position: &'m str },
    /// Nothing is subscribed to.
    Unsubscribed {},
    /// What happened since the client's position cannot be told: load anew, then go on from here.
    Reload { reason: &'static str, position: &'m str },
    /// So many events found no room since the message before: subscribe again from the position of that one.
    Dropped { events: u64 },
    /// Nothing for this client has happened up to here.
    Position { position: &'m str },
    /// The message before was refused, and nothing has changed.
    Error { detail: &'m str },
}

impl ToClient<'_> {
    pub(super) fn text(&self) -> String {
        // Made of plain values, which always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A frame of events; `merged` says for how many each stands.
pub(super) fn events_frame<'e>(events: impl Iterator<Item = (&'e LiveEvent, u64)>, position: &Position) -> String {
    let mut text = format!("{{\"type\":\"events\",\"position\":\"{position}\",\"events\":[");
    for (place, (event, stands_for)) in events.enumerate() {
        if place > 0 {
            text.push(',');
        }
        if stands_for > 1 {
            // Writing to a string does not fail.
            let _ = write!(text, "{{\"merged\":{stands_for},");
            text.push_str(event.json.strip_prefix('{').unwrap_or(&event.json));
        } else {
            text.push_str(&event.json);
        }
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::live::history::tests::{event, position};

    #[test]
    fn a_frame_of_events_is_json_and_says_for_how_many_each_stands() {
        let (one, other) = (event(1, 0, 5), event(2, 1, 6));
        let frame = events_frame([(&*one, 1), (&*other, 3)].into_iter(), &position("1.6.7"));
        let frame: Value = serde_json::from_str(&frame).expect("JSON");
        assert_eq!(
            (&frame["type"], &frame["position"]),
            (&json!("events"), &json!("1.6.7"))
        );
        assert_eq!(frame["events"][0], json!({"driver_id": 1, "at": "0:5"}));
        assert_eq!(frame["events"][1], json!({"merged": 3, "driver_id": 2, "at": "1:6"}));
    }

    #[test]
    fn a_message_that_is_none_is_refused_with_the_known_words() {
        let error = serde_json::from_str::<FromClient>(r#"{"type": "subscribe", "kind": ["x"]}"#).unwrap_err();
        assert!(error.to_string().contains("kinds"), "{error}");
        let error = serde_json::from_str::<FromClient>(r#"{"type": "join"}"#).unwrap_err();
        assert!(error.to_string().contains("subscribe"), "{error}");
    }
}
