//! What the sample code of the plan does, fault for fault, so that it can be measured beside the protocol: `GET`; on a
//! miss load; `SETEX`. No lock, so everyone who misses loads; no generations, so a load that a write overtook stays
//! until its TTL. Deletion is by pattern. The one deviation is SCAN instead of KEYS, which would stop the server for
//! everybody.

use std::time::Duration;

use bytes::Bytes;

use crate::{entry::Entry, error::RedisFailure, state::Core};

impl Core {
    /// The entry of this name, if it is there.
    pub(crate) async fn planned_entry(&self, name: &str) -> Option<Entry> {
        let text = self.l2.as_ref()?.read_planned(name).await.ok()??;
        // The plan's `if cached:` takes an empty answer for none.
        decode(&text).filter(|entry| !entry.body.is_empty())
    }

    /// Keeps an entry under this name until its TTL, whatever happened since it was loaded.
    pub(crate) async fn keep_planned(&self, name: &str, entry: &Entry, ttl: Duration) {
        if let Some(l2) = &self.l2 {
            // A failure is counted and logged where it happens.
            let _ = l2.store_planned(name, encode(entry), ttl).await;
        }
    }

    /// Deletes entries by pattern over `endpoint:part:part`.
    pub(crate) async fn delete_planned(&self, pattern: &str) -> Result<u64, RedisFailure> {
        match &self.l2 {
            Some(l2) => l2.delete_planned(pattern).await,
            None => Ok(0),
        }
    }
}

/// The version and the body, a line each.
fn encode(entry: &Entry) -> Vec<u8> {
    let mut text = format!("{}\n", entry.version).into_bytes();
    text.extend_from_slice(&entry.body);
    text
}

fn decode(text: &Bytes) -> Option<Entry> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let version = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some(Entry::new(text.slice(end + 1..), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_read() {
        let entry = Entry::new("{\"a\":\n1}", -3);
        assert_eq!(decode(&encode(&entry).into()), Some(entry));
        assert_eq!(decode(&Bytes::from_static(b"x\ny")), None);
        assert_eq!(decode(&Bytes::from_static(b"12")), None);
    }
}
