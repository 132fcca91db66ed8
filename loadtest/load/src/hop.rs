//! Redirects: where an answer sends its request on to, and as what.

use scenarios::Method;
use url::Url;

use crate::{answer::Answer, target::Target};

/// A request that an answer sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Path and query on the same target.
    pub(crate) path: String,
    pub(crate) method: Method,
    /// Whether the body goes along.
    pub(crate) has_body: bool,
}

/// The request that follows the answer to `method` at `path`; `None` for an answer that sends nobody on.
///
/// # Errors
/// In words, when it leads somewhere else than to the target, or nowhere.
pub(crate) fn after(answer: &Answer, method: Method, path: &str, target: &Target) -> Result<Option<Hop>, String> {
    let status = answer.status();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = answer
        .header("location")
        .ok_or_else(|| format!("status {status} without a location"))?;
    let base = format!("{}://{}", target.scheme(), target.host);
    let here = Url::parse(&base).and_then(|origin| origin.join(path));
    let there = here
        .as_ref()
        .map_err(|error| *error)
        .and_then(|here| here.join(location));
    let (Ok(here), Ok(there)) = (here, there) else {
        return Err(format!("status {status} to `{location}`, which is no address"));
    };
    if here.origin() != there.origin() {
        return Err(format!("status {status} to {there}, which is not the target"));
    }
    let query = there.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (method, has_body) = sent_on(status, method);
    Ok(Some(Hop {
        path: format!("{}{query}", there.path()),
        method,
        has_body,
    }))
}

/// As browsers do it (RFC 9110, sections 15.4.2 to 15.4.9): what was posted is not posted again, unless the status says
/// so.
fn sent_on(status: u16, method: Method) -> (Method, bool) {
    match (status, method) {
        (307 | 308, method) => (method, true),
        (_, Method::Head) => (Method::Head, false),
        (303, _) | (_, Method::Post) => (Method::Get, false),
        (_, method) => (method, true),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::answer::Expecting;

    fn led(status: u16, location: &str, method: Method) -> Result<Option<Hop>, String> {
        let mut answer = Answer::new();
        answer.expect(Expecting {
            head_only: false,
            body: false,
        });
        let mut fields = HeaderMap::new();
        fields.insert("location", HeaderValue::from_str(location).unwrap());
        answer.begin_content(status, fields);
        let target = Target::named(Vec::new(), "shop.test:8000".to_owned());
        after(&answer, method, "/a/b?c=d", &target)
    }

    #[test]
    fn locations_are_resolved_against_the_request() {
        for (location, path) in [
            ("/x?y=1#top", "/x?y=1"),
            ("x", "/a/x"),
            ("../x", "/x"),
            ("?e", "/a/b?e"),
            ("http://shop.test:8000/x", "/x"),
        ] {
            assert_eq!(
                led(302, location, Method::Get).unwrap().unwrap().path,
                path,
                "{location}"
            );
        }
        assert_eq!(led(200, "/x", Method::Get), Ok(None));
        assert_eq!(led(304, "/x", Method::Get), Ok(None));
        for elsewhere in ["http://other.test/", "https://shop.test:8000/", "http://shop.test/"] {
            let said = led(302, elsewhere, Method::Get).unwrap_err();
            assert!(said.contains("is not the target"), "{said}");
        }
    }

    #[test]
    fn what_was_posted_is_posted_again_only_where_the_status_says_so() {
        for (status, method, on) in [
            (302, Method::Post, (Method::Get, false)),
            (303, Method::Put, (Method::Get, false)),
            (301, Method::Put, (Method::Put, true)),
            (307, Method::Post, (Method::Post, true)),
            (308, Method::Patch, (Method::Patch, true)),
            (303, Method::Head, (Method::Head, false)),
        ] {
            let hop = led(status, "/x", method).unwrap().unwrap();
            assert_eq!((hop.method, hop.has_body), on, "{status} {method:?}");
        }
    }
}
