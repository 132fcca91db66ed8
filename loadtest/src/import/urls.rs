//! A list of addresses or paths, one a line, each with a method before it if it is not GET.

use url::Url;

use super::{Imported, Request, literal, split};

/// Requests of a list. Empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// In words with the line, for what is neither an address nor a path, and for addresses of several hosts.
pub(crate) fn from_urls(text: &str) -> Result<Imported, String> {
    let mut imported = Imported::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (method, address) = line.split_once(char::is_whitespace).unwrap_or(("GET", line));
        let wrong = |why: &str| format!("line {number}: `{line}`: {why}");
        let path = if address.starts_with('/') {
            address.trim().to_owned()
        } else {
            let url =
                Url::parse(address.trim()).map_err(|error| wrong(&format!("{error}; write an address or a path")))?;
            let (origin, path) = split(&url);
            match &imported.origin {
                Some(other) if *other != origin => return Err(wrong(&format!("the ones before are at {other}"))),
                _ => imported.origin = Some(origin),
            }
            path
        };
        imported.requests.push(Request {
            method: method.to_uppercase(),
            path: literal(&path),
            ..Request::default()
        });
    }
    Ok(imported.named())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::read_back, *};

    #[test]
    fn a_list_is_addresses_paths_and_methods() {
        let text = "# the shop\nhttp://shop.test:8080/items?q=1\n\n/items/7\nDELETE http://shop.test:8080/carts/1\n";
        let imported = from_urls(text).unwrap();
        assert_eq!(imported.origin.as_deref(), Some("http://shop.test:8080"));
        let workload = read_back(&imported);
        assert_eq!(
            workload.endpoint_names(),
            ["get_items", "get_items_7", "delete_carts_1"]
        );
        assert_eq!(workload.journeys.len(), 3);
    }

    #[test]
    fn what_is_no_address_is_said_with_its_line() {
        assert!(from_urls("/a\nitems\n").unwrap_err().starts_with("line 2: `items`: "));
        let hosts = from_urls("http://a.test/\nhttp://b.test/\n").unwrap_err();
        assert!(
            hosts.contains("line 2") && hosts.contains("the ones before are at http://a.test"),
            "{hosts}"
        );
    }
}
