//! The OpenAPI document. Whether it is true is for `contract` to say; here it has to be whole.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::Scene;

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_of_version_3_1_and_whole() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let answer = app.nobody().get("/openapi.json").await;
    let document = answer.json();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(
        document["openapi"].as_str().expect("a version").starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let pointer = name.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{name} leads nowhere");
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn every_operation_tells_what_it_is_and_how_it_refuses() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let document = app.nobody().get("/openapi.json").await.json();
    let paths = document["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
            let responses = operation["responses"].as_object().expect("responses");
            let refusals = responses.iter().filter(|(status, _)| status.starts_with('4'));
            for (status, response) in refusals {
                let content = &response["content"]["application/problem+json"];
                assert!(content.is_object(), "{name} {status}: {response}");
            }
            let guarded = operation.get("security").is_some();
            assert_eq!(guarded, responses.contains_key("403"), "{name}");
            assert_eq!(
                operation.get("requestBody").is_some(),
                responses.contains_key("422"),
                "{name}"
            );
        }
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let page = app.nobody().get("/docs").await;
    assert!(page.header("content-type").expect("a type").starts_with("text/html"));
    assert!(
        page.text().contains("openapi.json") && !page.text().contains("://"),
        "{}",
        page.text()
    );
    app.stop().await;
    scene.end().await;
}
