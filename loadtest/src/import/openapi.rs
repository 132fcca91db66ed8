//! An OpenAPI document, 3.0 or 3.1, in JSON or YAML: one request for each operation that can be sent without knowing
//! more.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use url::Url;

use super::{Body, Imported, Request, literal, literal_json, split};

/// In the order in which they are taken.
const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];
/// A schema may hold itself.
const DEEPEST: usize = 8;
/// As other tools know this type.
const JSON: &str = "application/json";

/// The operations of a document with values for what they must be given: examples, defaults, else what the schema
/// allows.
///
/// # Errors
/// In words, for what is no such document.
pub(crate) fn from_openapi(text: &str) -> Result<Imported, String> {
    let document = parse(text)?;
    let version = document["openapi"].as_str().unwrap_or_default();
    if !version.starts_with("3.") {
        let found = if version.is_empty() {
            "it names no version"
        } else {
            version
        };
        return Err(format!("this is no OpenAPI document of version 3 ({found})"));
    }
    let mut imported = Imported::default();
    let base = base(&document, &mut imported);
    let reader = Reader { document: &document };
    let none = Map::new();
    for (path, item) in document["paths"].as_object().unwrap_or(&none) {
        let item = reader.resolved(item);
        for method in METHODS {
            let Some(operation) = item.get(method) else { continue };
            let name = format!("{} {path}", method.to_uppercase());
            if method == "delete" {
                imported
                    .left_out
                    .push(format!("{name}: what it removes is known only from another answer"));
                continue;
            }
            match reader.request(method, &base, path, &item["parameters"], operation) {
                Ok(request) => imported.requests.push(request),
                Err(why) => imported.left_out.push(format!("{name}: {why}")),
            }
        }
    }
    imported.left_out.extend(reader.credentials());
    if imported.requests.is_empty() {
        return Err(format!("no operation can be sent: {}", imported.left_out.join("; ")));
    }
    Ok(imported.named())
}

/// JSON is tried first: it is what services give, and its mistakes are told better.
fn parse(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"));
    }
    serde_saphyr::from_str(text).map_err(|error| format!("this is no YAML: {error}"))
}

/// The path before all paths; the origin of the first server goes to `imported`.
fn base(document: &Value, imported: &mut Imported) -> String {
    let server = document["servers"][0]["url"].as_str().unwrap_or_default();
    match Url::parse(server) {
        Ok(url) => {
            let (origin, path) = split(&url);
            imported.origin = Some(origin);
            path.trim_end_matches('/').to_owned()
        }
        Err(_) if server.starts_with('/') => server.trim_end_matches('/').to_owned(),
        Err(_) => String::new(),
    }
}

struct Reader<'d> {
    document: &'d Value,
}

impl<'d> Reader<'d> {
    /// What a reference leads to; anything else as it is.
    fn resolved(&self, value: &'d Value) -> &'d Value {
        let mut value = value;
        // A reference may lead to another one, and never to itself.
        for _ in 0..DEEPEST {
            let Some(pointer) = value["$ref"].as_str().and_then(|text| text.strip_prefix('#')) else {
                break;
            };
            value = self.document.pointer(pointer).unwrap_or(&Value::Null);
        }
        value
    }

    fn request(
        &self,
        method: &str,
        base: &str,
        path: &str,
        shared: &'d Value,
        operation: &'d Value,
    ) -> Result<Request, String> {
        let mut request = Request {
            method: method.to_uppercase(),
            ..Request::default()
        };
        let mut path = path.to_owned();
        let mut query = Vec::new();
        for parameter in self.parameters(shared, operation) {
            let name = parameter["name"].as_str().unwrap_or_default();
            let needed = parameter["required"].as_bool().unwrap_or(false);
            let place = parameter["in"].as_str().unwrap_or_default();
            if !needed && place != "path" {
                continue;
            }
            let value = text(&self.parameter(parameter)).ok_or_else(|| format!("`{name}` has no example that fits"))?;
            match place {
                "path" => path = path.replace(&format!("{{{name}}}"), &encoded(&value)),
                "query" => query.push(format!("{}={}", encoded(name), encoded(&value))),
                "header" => request.headers.push((name.to_lowercase(), literal(&value))),
                other => return Err(format!("it needs the {other} `{name}`")),
            }
        }
        if path.contains('{') {
            return Err(format!("`{path}` has a part that no parameter describes"));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        request.path = format!("{base}{path}");
        request.body = self.body(operation)?.map(|body| Body::Json(literal_json(&body)));
        request.status = expected(operation);
        Ok(request)
    }

    /// Those of the operation come before those of its path.
    fn parameters(&self, shared: &'d Value, operation: &'d Value) -> Vec<&'d Value> {
        let own = operation["parameters"].as_array().into_iter().flatten();
        let shared = shared.as_array().into_iter().flatten();
        let mut seen = BTreeSet::new();
        own.chain(shared)
            .map(|parameter| self.resolved(parameter))
            .filter(|parameter| seen.insert((parameter["name"].to_string(), parameter["in"].to_string())))
            .collect()
    }

    fn parameter(&self, parameter: &'d Value) -> Value {
        self.given(parameter)
            .unwrap_or_else(|| self.sample(&parameter["schema"], 0))
    }

    /// `example`, or the first of `examples`.
    fn given(&self, of: &'d Value) -> Option<Value> {
        if let Some(example) = of.get("example") {
            return Some(example.clone());
        }
        let first = of["examples"].as_object()?.values().next()?;
        self.resolved(first).get("value").cloned()
    }

    fn body(&self, operation: &'d Value) -> Result<Option<Value>, String> {
        let Some(body) = operation.get("requestBody") else {
            return Ok(None);
        };
        let body = self.resolved(body);
        let none = Map::new();
        let content = body["content"].as_object().unwrap_or(&none);
        let Some((_, media)) = content.iter().find(|(kind, _)| kind.starts_with(JSON)) else {
            let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
            let needed = body["required"].as_bool().unwrap_or(false);
            return if needed {
                Err(format!("its body is {}", kinds.join(" or ")))
            } else {
                Ok(None)
            };
        };
        Ok(Some(
            self.given(media).unwrap_or_else(|| self.sample(&media["schema"], 0)),
        ))
    }

    /// A value that a schema allows.
    fn sample(&self, schema: &'d Value, depth: usize) -> Value {
        let schema = self.resolved(schema);
        let given = ["example", "default", "const"].iter().find_map(|key| schema.get(*key));
        let listed = ["examples", "enum"].iter().find_map(|key| schema[*key].get(0));
        if let Some(value) = given.or(listed) {
            return value.clone();
        }
        if let Some(all) = schema["allOf"].as_array() {
            return self.merged(all, depth);
        }
        for choice in ["oneOf", "anyOf"] {
            let choices = schema[choice].as_array().into_iter().flatten();
            if let Some(first) = choices.map(|one| self.resolved(one)).find(|one| one["type"] != "null") {
                return self.sample(first, depth + 1);
            }
        }
        if depth > DEEPEST {
            return Value::Null;
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" if schema["items"].is_null() => json!([]),
            "array" => json!([self.sample(&schema["items"], depth + 1)]),
            "integer" => whole(smallest(schema).ceil()),
            "number" => json!(smallest(schema)),
            "boolean" => json!(true),
            "string" => string(schema).into(),
            _ => Value::Null,
        }
    }

    fn merged(&self, all: &'d [Value], depth: usize) -> Value {
        let mut merged = Map::new();
        for part in all {
            match self.sample(part, depth + 1) {
                Value::Object(entries) => merged.extend(entries),
                Value::Null => {}
                other => return other,
            }
        }
        Value::Object(merged)
    }

    /// What it must have; where nothing is demanded all that it may have.
    fn object(&self, schema: &'d Value, depth: usize) -> Value {
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties = schema["properties"].as_object().into_iter().flatten();
        let wanted = properties.filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()));
        let entries = wanted.map(|(name, schema)| (name.clone(), self.sample(schema, depth + 1)));
        Value::Object(entries.collect())
    }

    /// What is to be added by hand, once for each way to prove who asks.
    fn credentials(&self) -> Vec<String> {
        let schemes = self.document["components"]["securitySchemes"]
            .as_object()
            .into_iter()
            .flatten();
        let advice = schemes.map(|(name, scheme)| {
            let scheme = self.resolved(scheme);
            let header = match (scheme["type"].as_str(), scheme["in"].as_str(), scheme["name"].as_str()) {
                (Some("apiKey"), Some("header"), Some(header)) => header.to_lowercase(),
                _ => "authorization".to_owned(),
            };
            format!("the credentials `{name}`: where they are needed add headers = {{ {header} = \"...\" }}")
        });
        advice.collect()
    }
}

/// The one status of success, where it is not 200.
fn expected(operation: &Value) -> Option<u16> {
    let answers = operation["responses"].as_object()?;
    let good: Vec<u16> = answers
        .keys()
        .filter_map(|code| code.parse().ok())
        .filter(|code| (200..300).contains(code))
        .collect();
    match good[..] {
        [only] if only != 200 => Some(only),
        _ => None,
    }
}

/// Documents of version 3.1 may list several types.
fn kind(schema: &Value) -> &str {
    let listed = schema["type"].as_array().into_iter().flatten();
    let listed = listed.filter_map(Value::as_str).find(|kind| *kind != "null");
    let by_parts = if schema["properties"].is_object() { "object" } else { "" };
    schema["type"].as_str().or(listed).unwrap_or(by_parts)
}

fn smallest(schema: &Value) -> f64 {
    let above = schema["exclusiveMinimum"].as_f64().map(|least| least + 1.0);
    let least = schema["minimum"].as_f64().or(above).unwrap_or(1.0);
    let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
    least.max(1.0_f64.min(most)).min(most)
}

/// A whole number without a fraction, which stands for itself in a path.
fn whole(number: f64) -> Value {
    let text = format!("{number:.0}");
    text.parse::<i64>().map_or(Value::Null, Value::from)
}

fn string(schema: &Value) -> String {
    let text = match schema["format"].as_str().unwrap_or_default() {
        "date-time" => "2026-01-02T03:04:05Z",
        "date" => "2026-01-02",
        "time" => "03:04:05",
        "uuid" => "00000000-0000-4000-8000-000000000001",
        "email" => "ann@example.org",
        "uri" | "url" => "http://example.org/",
        "ipv4" => "192.0.2.1",
        _ => "text",
    };
    let (least, most) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    let (least, most) = (least.unwrap_or(0), most.unwrap_or(u64::MAX));
    let length = u64::try_from(text.len())
        .unwrap_or(u64::MAX)
        .clamp(least.min(most), most);
    text.chars()
        .cycle()
        .take(usize::try_from(length).unwrap_or(usize::MAX))
        .collect()
}

/// A value that can stand in a path or a header.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Array(items) => items.first().and_then(text),
        Value::Null | Value::Object(_) => None,
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%2D", "-")
        .replace("%5F", "_")
        .replace("%2E", ".")
}

#[cfg(test)]
mod tests {
    use super::{super::tests::read_back, *};

    /// As FastAPI writes one.
    const SHOP: &str = r##"{
      "openapi": "3.1.0",
      "servers": [{"url": "http://shop.test:8000/v1/"}],
      "paths": {
        "/items/{id}": {
          "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 5}}],
          "get": {"parameters": [
            {"name": "lang", "in": "query", "required": true, "schema": {"enum": ["de", "en"]}},
            {"name": "page", "in": "query", "schema": {"type": "integer"}},
            {"$ref": "#/components/parameters/trace"}
          ], "responses": {"200": {}, "404": {}}},
          "delete": {"responses": {"204": {}}}
        },
        "/orders": {
          "post": {"requestBody": {"required": true, "content": {"application/json": {"schema":
            {"$ref": "#/components/schemas/Order"}}}}, "responses": {"201": {}, "422": {}}}
        },
        "/upload": {
          "put": {"requestBody": {"required": true, "content": {"multipart/form-data": {}}}, "responses": {}}
        }
      },
      "components": {
        "parameters": {"trace": {"name": "X-Trace", "in": "header", "required": true, "example": "a{b}"}},
        "schemas": {"Order": {"type": "object", "required": ["item", "note", "tags", "parent"], "properties": {
          "item": {"anyOf": [{"type": "null"}, {"type": "integer", "exclusiveMinimum": 2}]},
          "note": {"type": ["string", "null"], "minLength": 6},
          "tags": {"type": "array", "items": {"type": "string", "format": "uuid"}},
          "parent": {"$ref": "#/components/schemas/Order"},
          "left": {"type": "boolean"}
        }}},
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}
      }
    }"##;

    #[test]
    fn each_operation_is_a_request_with_what_it_must_be_given() {
        let imported = from_openapi(SHOP).unwrap();
        assert_eq!(imported.origin.as_deref(), Some("http://shop.test:8000"));
        let [item, order] = &imported.requests[..] else {
            panic!("{:?}", imported.requests)
        };
        assert_eq!(item.path, "/v1/items/5?lang=de");
        assert_eq!(item.headers, [("x-trace".to_owned(), "a{{b}}".to_owned())]);
        assert_eq!((order.method.as_str(), order.status), ("POST", Some(201)));
        let Some(Body::Json(body)) = &order.body else {
            panic!("JSON: {order:?}")
        };
        assert_eq!(
            (&body["item"], &body["note"], body.get("left")),
            (&json!(3), &json!("textte"), None)
        );
        assert_eq!(body["tags"], json!(["00000000-0000-4000-8000-000000000001"]));
        assert_eq!(
            read_back(&imported).endpoint_names(),
            ["get_v1_items_5", "post_v1_orders"]
        );
    }

    #[test]
    fn what_is_left_out_is_named() {
        let left_out = from_openapi(SHOP).unwrap().left_out;
        assert!(left_out[0].starts_with("DELETE /items/{id}: "), "{left_out:?}");
        assert_eq!(left_out[1], "PUT /upload: its body is multipart/form-data");
        assert!(left_out[2].contains("headers = { x-key = \"...\" }"), "{left_out:?}");
    }

    #[test]
    fn a_document_may_be_yaml() {
        let text = "openapi: 3.0.3\npaths:\n  /pets/{name}:\n    get:\n      parameters:\n        - name: name\n\
          \x20         in: path\n          required: true\n          schema: { type: string, format: email }\n";
        let imported = from_openapi(text).unwrap();
        assert_eq!(imported.requests[0].path, "/pets/ann%40example.org");
        assert_eq!(
            (imported.origin, read_back(&from_openapi(text).unwrap()).journeys.len()),
            (None, 1)
        );
    }

    #[test]
    fn what_is_no_document_is_said() {
        assert!(
            from_openapi("{\"swagger\": \"2.0\"}")
                .unwrap_err()
                .contains("it names no version")
        );
        assert!(from_openapi("{").unwrap_err().contains("this is no JSON"));
        assert!(
            from_openapi("{\"openapi\": \"3.0.0\"}")
                .unwrap_err()
                .contains("no operation can be sent")
        );
    }
}
