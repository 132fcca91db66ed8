//! What a pattern for flushing means. Generations exist for endpoints, not for keys, so a pattern ends whole endpoints:
//! those whose answers it could match.

use crate::tag::Tag;

/// What has to be invalidated, and where memory can be freed afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) tags: Vec<Tag>,
    /// Empty: everywhere.
    pub(crate) endpoints: Vec<String>,
}

/// The fence of `pattern`, which is a glob over `endpoint:part:part` with `*` and `?`. An endpoint without wildcards
/// stands for itself, also if it is not known here; one with wildcards for the known ones that it matches; and if it
/// could match what other replicas know and this one does not, for everything.
pub(crate) fn fence(pattern: &str, known: &[&'static str]) -> Fence {
    let (endpoint, has_parts) = match pattern.split_once(':') {
        Some((endpoint, _)) => (endpoint, true),
        None => (pattern, false),
    };
    if !endpoint.contains(['*', '?']) {
        return of_endpoints(vec![endpoint.to_owned()]);
    }
    let matching: Vec<String> = known
        .iter()
        .filter(|name| matches_glob(endpoint.as_bytes(), name.as_bytes()))
        .map(|&name| name.to_owned())
        .collect();
    // A star without a colon may reach into the parts: `*42` matches any endpoint.
    if matching.is_empty() || !has_parts || endpoint.starts_with('*') {
        return Fence {
            tags: vec![Tag::all()],
            endpoints: Vec::new(),
        };
    }
    of_endpoints(matching)
}

fn of_endpoints(endpoints: Vec<String>) -> Fence {
    Fence {
        tags: endpoints.iter().map(|name| Tag::endpoint(name)).collect(),
        endpoints,
    }
}

/// Whether `text` matches `glob`. Goes back to the last star when it is stuck: at most length times length steps.
fn matches_glob(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, star_from)) = star else { return false };
                (at, from) = (star_at + 1, star_from + 1);
                star = Some((star_at, from));
            }
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["risk_current", "risk_history", "premium"];

    fn names(pattern: &str) -> Vec<String> {
        let tags = fence(pattern, &KNOWN).tags;
        tags.iter().map(|tag| tag.name().to_owned()).collect()
    }

    #[test]
    fn a_named_endpoint_is_fenced_alone() {
        assert_eq!(names("premium:*"), ["endpoint:premium"]);
        assert_eq!(names("premium"), ["endpoint:premium"]);
        assert_eq!(names("unknown:42"), ["endpoint:unknown"]);
    }

    #[test]
    fn wildcards_fence_what_they_match_and_doubt_fences_everything() {
        assert_eq!(names("risk_*:42"), ["endpoint:risk_current", "endpoint:risk_history"]);
        for pattern in ["*", "*42*", "*:42", "nothing*:1", "risk*"] {
            assert_eq!(names(pattern), ["all"], "{pattern}");
        }
    }

    #[test]
    fn globs_match_as_in_redis() {
        let cases = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xxaxxab", true),
            ("abc", "abc", true),
            ("", "a", false),
        ];
        for (glob, text, expected) in cases {
            assert_eq!(
                matches_glob(glob.as_bytes(), text.as_bytes()),
                expected,
                "{glob} {text}"
            );
        }
    }
}
