//! Values that come back: what an answer gave and a later request sends (a token, an id, the path of the next page) is
//! proposed as a variable, or every user would send what was recorded.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Body, Request};

/// Shorter texts and numbers come back by chance, unless their name says what they are.
const TELLING_LENGTH: usize = 8;
/// Ends of names whose values are made to come back.
const TELLING_NAMES: [&str; 7] = ["id", "token", "key", "next", "cursor", "csrf", "uuid"];

/// Puts variables into requests for what an answer before them gave; `answers` are the JSON of each request's answer.
pub(super) fn propose(requests: &mut [Request], answers: &[Option<Value>]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for index in 0..requests.len() {
        let Some(Some(answer)) = answers.get(index) else {
            continue;
        };
        let mut found = Vec::new();
        leaves(answer, String::new(), &mut found);
        for leaf in found {
            let (before, after) = requests.split_at_mut(index + 1);
            // What the user knew before the answer is not from it.
            if !leaf.is_telling() || before.iter().any(|request| uses(request, &leaf.text)) {
                continue;
            }
            if !after.iter().any(|request| uses(request, &leaf.text)) {
                continue;
            }
            let var = free_name(&leaf, &before[index].name, &taken);
            for request in after {
                replace(request, &leaf.text, &format!("{{{var}}}"));
            }
            before[index].extract.push((var.clone(), leaf.pointer));
            taken.insert(var);
        }
    }
}

/// A text or number in an answer.
struct Leaf {
    pointer: String,
    /// The name it stands under; of one in a list that of the list.
    key: String,
    text: String,
}

impl Leaf {
    fn is_telling(&self) -> bool {
        let key = self.key.to_lowercase();
        let is_plain = !self.text.is_empty() && !self.text.contains(['{', '}', ' ', '\n']);
        is_plain && (self.text.len() >= TELLING_LENGTH || TELLING_NAMES.iter().any(|end| key.ends_with(end)))
    }
}

fn leaves(value: &Value, pointer: String, found: &mut Vec<Leaf>) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, format!("{pointer}/{index}"), found);
            }
            return;
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                leaves(value, format!("{pointer}/{key}"), found);
            }
            return;
        }
        Value::Bool(_) | Value::Null => return,
    };
    let names = pointer.rsplit('/').find(|name| name.parse::<usize>().is_err());
    found.push(Leaf {
        key: names.unwrap_or_default().to_owned(),
        pointer,
        text,
    });
}

/// A name that no other variable has: `token`, or `post_carts_id` of `/id` of that request.
fn free_name(leaf: &Leaf, request: &str, taken: &BTreeSet<String>) -> String {
    let plain = |text: &str| -> String {
        let safe = text.chars().map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        });
        safe.collect()
    };
    let key = plain(&leaf.key);
    let own = if key.is_empty() || key == "id" || taken.contains(&key) {
        format!("{request}_{}", if key.is_empty() { "value" } else { &key })
    } else {
        key
    };
    let numbered = (2..).map(|number| format!("{own}_{number}"));
    std::iter::once(own.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(own)
}

fn uses(request: &Request, text: &str) -> bool {
    request.path == text
        || parts(&request.path).any(|part| part == text)
        || request.headers.iter().any(|(_, value)| is_in_header(value, text))
        || request.body.as_ref().is_some_and(|body| is_in_body(body, text))
}

/// Segments of the path and values of the query.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '?', '&', '=']).filter(|part| !part.is_empty())
}

/// The whole of it, or what follows a word like `Bearer`.
fn is_in_header(value: &str, text: &str) -> bool {
    value == text || value.split_once(' ').is_some_and(|(_, rest)| rest == text)
}

/// As a value of its own: within a text it may be there by chance.
fn is_in_body(body: &Body, text: &str) -> bool {
    match body {
        Body::Json(json) => is_in(json, text),
        Body::Form(fields) => fields.iter().any(|(_, value)| value == text),
        Body::Text(_) => false,
    }
}

fn is_in(body: &Value, text: &str) -> bool {
    match body {
        Value::String(found) => found == text,
        Value::Number(number) => number.to_string() == text,
        Value::Array(items) => items.iter().any(|item| is_in(item, text)),
        Value::Object(entries) => entries.values().any(|value| is_in(value, text)),
        Value::Bool(_) | Value::Null => false,
    }
}

fn replace(request: &mut Request, text: &str, variable: &str) {
    if request.path == text {
        variable.clone_into(&mut request.path);
    } else {
        request.path = with_parts(&request.path, text, variable);
    }
    for (_, value) in &mut request.headers {
        if is_in_header(value, text) {
            *value = value.replace(text, variable);
        }
    }
    match &mut request.body {
        Some(Body::Json(json)) => replace_in(json, text, variable),
        Some(Body::Form(fields)) => {
            let same = fields.iter_mut().filter(|(_, value)| value == text);
            same.for_each(|(_, value)| variable.clone_into(value));
        }
        Some(Body::Text(_)) | None => {}
    }
}

fn with_parts(path: &str, text: &str, variable: &str) -> String {
    let whole = path.split_inclusive(['/', '?', '&', '=']);
    let replaced = whole.map(|part| {
        let bare = part.trim_end_matches(['/', '?', '&', '=']);
        if bare == text {
            part.replacen(bare, variable, 1)
        } else {
            part.to_owned()
        }
    });
    replaced.collect()
}

fn replace_in(body: &mut Value, text: &str, variable: &str) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(|item| replace_in(item, text, variable)),
        Value::Object(entries) => entries.values_mut().for_each(|value| replace_in(value, text, variable)),
        leaf if is_in(leaf, text) => *leaf = variable.into(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(name: &str, path: &str) -> Request {
        Request {
            name: name.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            ..Request::default()
        }
    }

    #[test]
    fn a_token_an_id_and_the_next_page_are_taken_from_answers() {
        let mut requests = vec![
            request("login", "/login"),
            Request {
                headers: vec![("authorization".to_owned(), "Bearer abc.def-123".to_owned())],
                ..request("carts", "/carts")
            },
            Request {
                body: Some(Body::Json(json!({"cart": 42, "note": "42 of them"}))),
                ..request("change", "/carts/42?cart=42&n=4")
            },
            Request {
                body: Some(Body::Form(vec![
                    ("cart".to_owned(), "42".to_owned()),
                    ("n".to_owned(), "4".to_owned()),
                ])),
                ..request("more", "/carts?page=2")
            },
        ];
        let answers = [
            Some(json!({"access_token": "abc.def-123", "user": "ann"})),
            Some(json!({"made": {"id": 42}, "count": 4, "next": "/carts?page=2"})),
            None,
            None,
        ];
        propose(&mut requests, &answers);
        assert_eq!(
            requests[0].extract,
            [("access_token".to_owned(), "/access_token".to_owned())]
        );
        assert_eq!(
            requests[1].extract,
            [
                ("carts_id".to_owned(), "/made/id".to_owned()),
                ("next".to_owned(), "/next".to_owned())
            ]
        );
        assert_eq!(requests[1].headers[0].1, "Bearer {access_token}");
        assert_eq!(requests[2].path, "/carts/{carts_id}?cart={carts_id}&n=4");
        assert_eq!(
            requests[2].body,
            Some(Body::Json(json!({"cart": "{carts_id}", "note": "42 of them"})))
        );
        assert_eq!(requests[3].path, "{next}");
        let Some(Body::Form(fields)) = &requests[3].body else {
            panic!("a form: {:?}", requests[3])
        };
        let values: Vec<&str> = fields.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["{carts_id}", "4"]);
    }

    #[test]
    fn what_the_user_knew_before_is_no_value_of_the_answer() {
        let mut requests = vec![
            request("first", "/users/annabelle"),
            request("second", "/users/annabelle/carts"),
        ];
        propose(&mut requests, &[Some(json!({"user_id": "annabelle"})), None]);
        assert!(requests[0].extract.is_empty());
        assert_eq!(requests[1].path, "/users/annabelle/carts");
    }

    #[test]
    fn what_comes_back_by_chance_is_left_alone() {
        let mut requests = vec![request("first", "/a"), request("second", "/items/7")];
        propose(&mut requests, &[Some(json!({"count": 7, "name": "items"})), None]);
        assert!(requests[0].extract.is_empty() && requests[1].path == "/items/7");
    }

    #[test]
    fn two_values_of_one_name_are_told_apart() {
        let mut requests = vec![
            request("a", "/a"),
            request("b", "/b"),
            request("c", "/first-token/second-token"),
        ];
        let answers = [
            Some(json!({"token": "first-token"})),
            Some(json!({"token": "second-token"})),
            None,
        ];
        propose(&mut requests, &answers);
        assert_eq!(
            (requests[0].extract[0].0.as_str(), requests[1].extract[0].0.as_str()),
            ("token", "b_token")
        );
        assert_eq!(requests[2].path, "/{token}/{b_token}");
    }
}
