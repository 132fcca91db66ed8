//! Cookies of one user: kept as they are set, sent back where they belong (RFC 6265).

use cookie_store::CookieStore;
use url::Url;

use crate::{answer::Answer, target::Target};

/// Cookies that one user keeps at most: three times what browsers keep of a site. A server that makes up names does not
/// fill the memory.
const MAX_COOKIES: usize = 500;

/// The cookies of one user at one target.
pub(crate) struct Cookies {
    store: CookieStore,
    origin: Url,
    /// The header of the next request.
    header: String,
}

impl Cookies {
    /// None yet. A target whose name makes no address has no cookies either.
    pub(crate) fn new(target: &Target) -> Option<Self> {
        let origin = Url::parse(&format!("{}://{}/", target.scheme(), target.host)).ok()?;
        Some(Self {
            store: CookieStore::default(),
            origin,
            header: String::new(),
        })
    }

    /// A user begins anew.
    pub(crate) fn forget(&mut self) {
        self.store.clear();
    }

    /// The header `cookie` of a request for `path`; empty where none belongs there.
    pub(crate) fn header(&mut self, path: &str) -> &str {
        self.header.clear();
        if let Ok(address) = self.origin.join(path) {
            for (name, value) in self.store.get_request_values(&address) {
                let between = if self.header.is_empty() { "" } else { "; " };
                for part in [between, name, "=", value] {
                    self.header.push_str(part);
                }
            }
        }
        &self.header
    }

    /// Keeps what the answer to a request for `path` sets.
    pub(crate) fn keep(&mut self, path: &str, answer: &Answer) {
        let Ok(address) = self.origin.join(path) else { return };
        for line in answer.headers("set-cookie") {
            if self.store.iter_any().count() < MAX_COOKIES {
                // One that is none, or for another place, is no cookie of this user.
                let _ = self.store.parse(line, &address);
            }
        }
    }
}
