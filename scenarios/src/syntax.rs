//! What a path, a header name and a JSON pointer must look like, and a text in a file.

use toml::Spanned;

use crate::source::Findings;

/// What can stand in the first line of a request.
pub(crate) fn check_path(path: &Spanned<String>, findings: &mut Findings<'_>) {
    let text = path.get_ref();
    // One variable may stand for the whole path.
    let is_variable = text.starts_with('{') && text.ends_with('}') && text.matches('{').count() == 1;
    findings.require(text.starts_with('/') || is_variable, &path.span(), || {
        format!("path `{text}` must start with a slash")
    });
    let outside = without_variables(text);
    let printable = outside.chars().all(|c| c.is_ascii_graphic());
    findings.require(printable, &path.span(), || {
        format!("path `{text}` must be printable ASCII without spaces: percent-encode everything else")
    });
}

/// The text without its variables, whose names may hold anything: a column may be called `first name`.
fn without_variables(text: &str) -> String {
    let mut outside = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once('{') {
        outside.push_str(before);
        rest = inside.split_once('}').map_or("", |(_, after)| after);
    }
    outside + rest
}

/// A token of RFC 9110, section 5.6.2. Returns the name in lower case, as it is compared.
pub(crate) fn check_header_name(name: &Spanned<String>, findings: &mut Findings<'_>) -> String {
    let text = name.get_ref();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    findings.require(!text.is_empty() && text.bytes().all(is_token), &name.span(), || {
        format!("`{text}` is no header name")
    });
    text.to_ascii_lowercase()
}

/// A text in quotes, as a TOML file writes it.
pub fn toml_text(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            c if c.is_control() => quoted.extend([format!("\\u{:04X}", c as u32)]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// RFC 6901.
pub(crate) fn check_json_pointer(pointer: &Spanned<String>, findings: &mut Findings<'_>) {
    let text = pointer.get_ref();
    findings.require(text.is_empty() || text.starts_with('/'), &pointer.span(), || {
        format!("`{text}` is no JSON pointer: it must start with a slash, like `/{text}`")
    });
}
