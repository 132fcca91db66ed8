//! How requests travelled: protocol and encryption, and the connections that were made for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The way of the requests of a round, the same for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transport {
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
    /// Version and cipher suite that the server chose, e.g. `TLSv1.3 TLS_AES_256_GCM_SHA384`; absent in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Whether nobody had to vouch for the server's certificate (`--insecure`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_insecure: bool,
    /// Whether the generator had a certificate of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_client_certificate: bool,
    /// Most requests in flight on one connection.
    pub streams: u32,
}

impl Default for Transport {
    /// The way of records of builds that knew no other.
    fn default() -> Self {
        Self {
            protocol: "HTTP/1.1".to_owned(),
            tls: None,
            is_insecure: false,
            has_client_certificate: false,
            streams: 1,
        }
    }
}

impl Transport {
    /// In words, e.g. `TLSv1.3 TLS_AES_256_GCM_SHA384, the server's certificate not verified`.
    pub(crate) fn encryption(&self) -> String {
        let Some(tls) = &self.tls else {
            return "none".to_owned();
        };
        let unverified = self.is_insecure.then_some("the server's certificate not verified");
        let own = self.has_client_certificate.then_some("a certificate of our own");
        let parts: Vec<&str> = [Some(tls.as_str()), unverified, own].into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// Connections made in a phase: how many, and how long that took. The request that needed one waited for it, and its
/// response time contains these times. Histograms are `HdrHistogram` V2-deflate, base64, microseconds, with 2 digits;
/// one that counted nothing is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Connections {
    /// Made to their end.
    pub opened: u64,
    /// TLS handshakes from the beginning.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub full_handshakes: u64,
    /// TLS handshakes that went on with the session of an earlier connection of the same user.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub resumed_handshakes: u64,
    /// Requests that had to wait on our side for a stream of a shared connection (HTTP/2).
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub stream_waits: u64,
    /// Times until TCP was connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_hdr: Option<String>,
    /// Times of the full handshakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_handshake_hdr: Option<String>,
    /// Times of the resumed handshakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_handshake_hdr: Option<String>,
    /// Times of the waits for a stream. Response times contain them, service times do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_wait_hdr: Option<String>,
}

/// Requests that the requests of an endpoint which follows redirects consist of, the last of each included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hops {
    /// How many there were.
    pub count: u64,
    /// Their times, each from its send to the last byte of its answer: `HdrHistogram` V2-deflate, base64, microseconds,
    /// with 2 digits.
    pub hdr: String,
}

/// Connections of a subject over all its rounds. Of times the warm-up counts, too, since most connections are made
/// there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionSummary {
    /// The way of the requests.
    pub transport: Transport,
    /// Made in the measured phases.
    pub opened: u64,
    /// Requests of the measured phases for each of them; absent where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<f64>,
    /// Making TCP connections, all phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<StepTimes>,
    /// Full TLS handshakes, all phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_handshakes: Option<StepTimes>,
    /// Resumed TLS handshakes, all phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_handshakes: Option<StepTimes>,
    /// Waits for a stream on our side, all phases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_waits: Option<StepTimes>,
    /// By endpoint that follows redirects: the requests that its requests consist of, measured phases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hops: BTreeMap<String, StepTimes>,
    /// By endpoint of which answers came compressed: both sizes, measured phases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compressed: BTreeMap<String, Compressed>,
}

/// Sizes of bodies that came compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compressed {
    /// Bytes as they came.
    pub bytes: u64,
    /// Bytes of their content.
    pub content_bytes: u64,
}

/// Times of one step on the way to a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepTimes {
    /// How often it was made.
    pub count: u64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// Largest, milliseconds.
    pub max_ms: f64,
}
