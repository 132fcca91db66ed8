//! The form in which an answer goes out: not at all to a client that has it already, compressed when it is large.

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Below this, an answer fits into a few packets whatever its form: compressing it would cost more time than it saves.
const WORTH_COMPRESSING_BYTES: u64 = 8 * 1024;

/// The tag of `body`, an answer at this version. Weak, because a compressed answer has the same: it stands for the
/// content. By content and not by version alone, because some answers change with the day.
pub(crate) fn tag(version: Option<i64>, body: &[u8]) -> Option<HeaderValue> {
    let version = version.unwrap_or_default();
    let tag = format!("W/\"{version}-{:x}-{:08x}\"", body.len(), crc32fast::hash(body));
    HeaderValue::try_from(tag).ok()
}

/// `response`, or 304 without a body when its tag is among those that the client has (RFC 9110, section 13.1.2).
pub(crate) fn unless_known(known: &HeaderValue, response: Response) -> Response {
    let is_known =
        response.status() == StatusCode::OK && response.headers().get(ETAG).is_some_and(|tag| is_among(known, tag));
    if !is_known {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(CONTENT_TYPE);
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::empty())
}

fn is_among(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
        return false;
    };
    known == ANY || opaque_tags(known).is_some_and(|known| known.contains(&tag.trim_start_matches(WEAK)))
}

/// Stands for every tag.
const ANY: &str = "*";
const WEAK: &str = "W/";

/// Whether `text` is a value of `If-None-Match`: `*`, or tags in quotes, separated by commas.
pub(crate) fn is_known_answer(text: &str) -> bool {
    text == ANY || opaque_tags(text).is_some()
}

/// The tags of a list, in their quotes and without the mark of weak ones; `None` if it is no list of tags.
fn opaque_tags(list: &str) -> Option<Vec<&str>> {
    let (mut tags, mut rest) = (Vec::new(), list);
    loop {
        rest = rest.strip_prefix(WEAK).unwrap_or(rest);
        let content = rest.strip_prefix('"')?;
        let end = content.find('"')?;
        if !content[..end].bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (tag, after) = rest.split_at(end + 2);
        tags.push(tag);
        rest = after.trim_start_matches(' ');
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(',')?.trim_start_matches(' ');
    }
}

/// Whether the form of this answer depends on what the client accepts.
pub(crate) fn is_worth_it(response: &Response) -> bool {
    let bytes = response.body().size_hint().exact();
    bytes.is_some_and(|bytes| bytes >= WORTH_COMPRESSING_BYTES) && !response.headers().contains_key(CONTENT_ENCODING)
}

/// `response` in gzip, if the client accepts that.
pub(crate) async fn encoded(accepted: Option<&HeaderValue>, response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    head.headers.insert(VARY, HeaderValue::from_name(ACCEPT_ENCODING));
    if !accepted
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(accepts_gzip)
    {
        return Response::from_parts(head, body);
    }
    // The body is whole already, so that nothing is waited for.
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(head, Body::empty());
    };
    let Some(compressed) = gzip(&plain) else {
        return Response::from_parts(head, Body::from(plain));
    };
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::from(compressed))
}

/// The fastest level: JSON with its repeated names gets to a sixth all the same.
fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether `gzip`, or everything, is among the codings and not weighed with 0 (RFC 9110, section 12.5.3).
fn accepts_gzip(accepted: &str) -> bool {
    let weight = |coding: &str| {
        accepted.split(',').find_map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let is_it = parts.next()?.eq_ignore_ascii_case(coding);
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_it.then_some(weight.unwrap_or(1.0))
        })
    };
    weight("gzip")
        .or_else(|| weight("*"))
        .is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_accept_it() {
        for yes in ["gzip", "br, gzip;q=0.5", "*", "GZIP ; q=1", "identity;q=0, *"] {
            assert!(accepts_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "*;q=0", "gzip;q=0, *", "xgzip"] {
            assert!(!accepts_gzip(no), "{no}");
        }
    }

    #[test]
    fn a_tag_is_found_among_several_weak_or_not() {
        let tag = tag(Some(7), b"{}").expect("a tag");
        let text = tag.to_str().expect("text").to_owned();
        let among = |known: &str| is_among(&HeaderValue::try_from(known).expect("a value"), &tag);
        assert!(among(&text) && among(text.trim_start_matches("W/")) && among("*"));
        assert!(among(&format!("\"other,and-more\" , {text}")));
        assert!(!among("\"other\"") && !among("") && !among(&text.replace('7', "8")));
        assert_ne!(Some(tag), super::tag(Some(7), b"[]"));
    }

    #[test]
    fn what_is_no_list_of_tags_is_told_from_one() {
        for list in ["*", "\"\"", "W/\"a\"", "\"a\",\"b,c\" , W/\"d\""] {
            assert!(is_known_answer(list), "{list}");
        }
        for other in [
            "",
            "a",
            "\"a",
            "\"a\" \"b\"",
            "\"a\",",
            "\"a b\"",
            "*, \"a\"",
            "w/\"a\"",
            "W/",
        ] {
            assert!(!is_known_answer(other), "{other}");
        }
    }
}
