//! Bodies of imported requests: what was sent, and the key of a workload that sends it again.

use serde_json::Value;
use url::form_urlencoded;

use super::{literal, literal_json, toml_text, toml_value};

/// Type of a form's body.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A body. Its texts are as a workload writes them: braces stand for variables.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    Json(Value),
    /// Names and values of a form; no name stands twice.
    Form(Vec<(String, String)>),
    /// Anything else.
    Text(String),
}

impl Body {
    /// What `text` is, sent with that type. Objects and lists are JSON whatever their type, since many tools send them
    /// without saying so.
    pub(super) fn of(text: &str, content_type: &str) -> Self {
        let content_type = content_type.to_lowercase();
        let json = serde_json::from_str::<Value>(text).ok();
        if let Some(json) = json.filter(|json| content_type.contains("json") || json.is_object() || json.is_array()) {
            return Self::Json(literal_json(&json));
        }
        let is_form = content_type.starts_with(FORM);
        let fields = is_form.then(|| fields(text)).flatten();
        fields.map_or_else(|| Self::Text(literal(text)), Self::Form)
    }

    /// The line of an endpoint that says it.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Json(json) => format!("body = {}\n", toml_value(json)),
            Self::Form(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{} = {}", toml_text(name), toml_text(value)))
                    .collect();
                format!("body_form = {{ {} }}\n", fields.join(", "))
            }
            Self::Text(text) => format!("body_text = {}\n", toml_text(text)),
        }
    }
}

/// The fields of a form, where a table of names and values says the same as `text`: each has a value, no name stands
/// twice, and all of it is text.
fn fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    if !text.split('&').all(|field| field.contains('=')) {
        return None;
    }
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let is_text = !name.contains(char::REPLACEMENT_CHARACTER) && !value.contains(char::REPLACEMENT_CHARACTER);
        if !is_text || fields.iter().any(|(other, _)| *other == name) {
            return None;
        }
        fields.push((name.into_owned(), literal(&value)));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(text: &str) -> Body {
        Body::of(text, "Application/x-www-form-urlencoded; charset=UTF-8")
    }

    #[test]
    fn a_form_is_a_table_where_that_says_the_same() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            form("user=ada&word=a+b%26%7Bc%7D&empty="),
            Body::Form(vec![
                field("user", "ada"),
                field("word", "a b&{{c}}"),
                field("empty", "")
            ])
        );
        for text in ["a=1&a=2", "alone", "a=1&", "a=%FF"] {
            assert_eq!(form(text), Body::Text(text.to_owned()), "{text}");
        }
        assert_eq!(form("a=1").line(), "body_form = { \"a\" = \"1\" }\n");
    }

    #[test]
    fn objects_are_json_and_other_things_what_their_type_says() {
        assert_eq!(
            Body::of("{\"a\": \"{b}\"}", "text/plain"),
            Body::Json(json!({"a": "{{b}}"}))
        );
        assert_eq!(Body::of("[1]", FORM), Body::Json(json!([1])));
        assert_eq!(Body::of("7", "application/json"), Body::Json(json!(7)));
        assert_eq!(Body::of("7", "text/plain"), Body::Text("7".to_owned()));
        let xml = Body::of("<a b=\"{c}\"/>", "text/xml");
        assert_eq!(xml.line(), "body_text = \"<a b=\\\"{{c}}\\\"/>\"\n");
    }
}
