//! The first minutes with a service that is not ours: requests without any file, and files that `loadtest init` writes,
//! run as they are.

use std::process::{Command, Output};

use measure::record::{ALL_ENDPOINTS, Record, TargetVerdict};
use serde_json::Value;

use crate::{
    foreign::Shop,
    support::{Finished, Response, Server, ThrowAway, Workplace, assert_ends, bin_dir, check, said},
};

/// Runs a command without files, output going to the place's `out()`.
fn run(place: &Workplace, words: &[&str]) -> (Finished, Record) {
    let out = place.out();
    let finished = place
        .loadtest(&[words, &["--out", out.to_str().unwrap()]].concat())
        .finish();
    let record = place.record();
    (finished, record)
}

#[test]
fn a_url_is_all_that_a_run_needs() {
    let (place, shop) = (Workplace::new(), Shop::start());
    let url = format!("http://{}/items?page=1", shop.address);
    let load = [
        "--rate",
        "100",
        "--for",
        "5s",
        "--p95-ms",
        "5000",
        "--error-rate",
        "50%",
    ];
    let authorized = ["-H", "Authorization: Bearer token-of-ada"];
    // Five seconds are the fewest that give an interval. The server knows `/items` without a query alone.
    let (finished, record) = run(
        &place,
        &[&["run", &url], &load[..], &authorized, &["--expect-status", "404"]].concat(),
    );
    let summary = record.summary.values().next().unwrap();
    let all = &summary.endpoints[ALL_ENDPOINTS];
    assert!(
        all.count > 100 && all.error_rate.abs() < f64::EPSILON,
        "{}",
        finished.text
    );
    assert_eq!(
        (record.workload.name.as_str(), record.workload.blocks),
        ("GET /items?page=1", 1)
    );
    assert!((record.workload.measure_s - 5.0).abs() < f64::EPSILON);
    let verdicts: Vec<(&str, TargetVerdict)> = record
        .targets
        .iter()
        .map(|target| (target.id.as_str(), target.verdict))
        .collect();
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert!(verdicts.contains(&("p95", TargetVerdict::Pass)), "{verdicts:?}");
    assert!(!record.command.contains("workload.toml") && record.command.contains(&url));
}

#[test]
fn headers_and_a_body_reach_the_service() {
    let (place, shop) = (Workplace::new(), Shop::start());
    let (url, body) = (
        format!("http://{}/login", shop.address),
        place.write("body.json", "{\"user\": \"ada\"}"),
    );
    let load = ["--users", "2", "--for", "1s"];
    let json = r#"{"user": "ada", "password": "engine"}"#;
    let (finished, record) = run(&place, &[&["run", &url, "--json", json], &load[..]].concat());
    assert!(check(&record, "few errors").ok, "{}", finished.text);
    // Without the password nobody is let in.
    let from_file = format!("@{}", body.display());
    let (finished, record) = run(&place, &[&["run", &url, "--json", &from_file], &load[..]].concat());
    assert!(!check(&record, "few errors").ok, "{}", finished.text);
    finished.assert_says("401");
}

#[test]
fn two_urls_are_compared_by_the_same_request() {
    let servers = [0, 1].map(|_| Server::start(|_| Response::ok("ok")));
    let [before, after] = servers
        .each_ref()
        .map(|server| format!("http://{}/page", server.address));
    let (place, load) = (Workplace::new(), ["--users", "2", "--for", "0.5s", "--blocks", "2"]);
    let (finished, record) = run(&place, &[&["compare", &before, &after], &load[..]].concat());
    assert_eq!(
        (record.subjects.len(), record.rounds.len()),
        (2, 4),
        "{}",
        finished.text
    );
    assert!(record.comparisons.iter().any(|one| one.endpoint == "request"));

    let other = after.replace("/page", "/other");
    let refused = place
        .loadtest(&[&["compare", &before, &other], &load[..]].concat())
        .finish();
    refused.assert_code(2);
    refused.assert_says("a comparison sends the same one to both");
    let nothing = place
        .loadtest(&["run", "--subject", "url:http://127.0.0.1:1", "--rate", "1"])
        .finish();
    nothing.assert_code(2);
    nothing.assert_says("give --workload FILE, --path PATH, or the URL of the request");
}

const SHOP: &str = "scenarios/examples/shop";

/// A command in a throw-away repository, with the release binaries in PATH.
fn in_repository(repository: &ThrowAway, program: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let path = format!("{}:{}", bin_dir().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .args(words)
        .env("PATH", path)
        .envs(variables.iter().copied())
        .current_dir(repository.top());
    command.output().unwrap()
}

/// A service describes itself, `init` writes the files, and they drive the service that is up and hold it to the
/// targets.
#[test]
fn what_init_writes_of_a_document_runs_as_it_is() {
    let document = r#"{"openapi": "3.1.0", "paths": {
        "/items/{id}": {"get": {"parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]}},
        "/carts": {"post": {"requestBody": {"content": {"application/json": {"example": {"item": 1}}}},
            "responses": {"201": {}}}},
        "/carts/{id}": {"delete": {}}}}"#;
    let server = Server::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        (_, "/openapi.json") => Response::ok(document),
        ("GET", "/items/1") => Response::ok("{}"),
        ("POST", "/carts") => Response {
            status: 201,
            ..Response::ok("{}")
        },
        _ => Response {
            status: 404,
            ..Response::ok("no such page")
        },
    });
    let (place, empty) = (Workplace::new(), tempfile::tempdir().unwrap());
    let files = empty.path().join("loadtest");
    let origin = format!("http://{}", server.address);
    let from = format!("{origin}/openapi.json");
    let written = place
        .loadtest(&["init", "--openapi", &from, "--dir", files.to_str().unwrap()])
        .finish();
    written.assert_code(0);
    written.assert_says("left out: DELETE /carts/{id}");
    let file = |name: &str| files.join(name).to_str().unwrap().to_owned();
    written.assert_says(&format!("--subject url:{origin}"));
    let arguments = [
        "run",
        "--quick",
        "--workload",
        &file("workload.toml"),
        "--targets",
        &file("targets.toml"),
    ];
    let subject = format!("url:{origin}");
    let (finished, record) = run(
        &place,
        &[&arguments[..], &["--rate", "100", "--subject", &subject]].concat(),
    );
    assert!(check(&record, "few errors").ok, "{}", finished.text);
    let summary = record.summary.values().next().unwrap();
    for endpoint in ["get_items_1", "post_carts"] {
        assert!(summary.endpoints[endpoint].count > 0, "{endpoint}");
    }
    assert_eq!(record.targets.len(), 2);
}

/// In a repository of a service that nobody knows here `init` writes a subject file, a workload and a job. The working
/// tree is launched and measured by them, and the scripts of the job gate two revisions.
#[test]
fn what_init_writes_of_a_repository_runs_as_it_is() {
    let (place, shop) = (Workplace::new(), ThrowAway::of(SHOP));
    let curl = "curl -H 'authorization: Bearer token-of-ada' http://127.0.0.1:1/items";
    let start = "node scenarios/examples/shop/server.mjs";
    let words = ["init", "--curl", curl, "--start", start];
    let written = in_repository(&shop, "loadtest", &words, &[]);
    assert_ends(&written, 0, &["--subject git:.", "git:main git:HEAD"]);
    let again = in_repository(&shop, "loadtest", &words, &[]);
    assert_ends(&again, 2, &["is there already"]);

    let arguments = [
        "run",
        "--quick",
        "--workload",
        "loadtest/workload.toml",
        "--rate",
        "50",
        "--subject",
        "git:.",
    ];
    let finished = shop.loadtest(&place, &arguments).finish();
    let record = place.record();
    assert!(check(&record, "few errors").ok, "{}", finished.text);
    assert!(record.subjects[0].binary_sha256.is_some());
    place.assert_nothing_left(&finished);

    shop.change("server.mjs", "// A small shop", "// A little shop", "same");
    let variables = [
        ("BEFORE", "git:first"),
        ("AFTER", "git:same"),
        ("OPTIONS", "--blocks 8 --measure-s 0.05 --warm-up 500ms --rate 100"),
    ];
    let job = std::fs::read_to_string(shop.top().join("loadtest/github-actions.yml")).unwrap();
    for script in scripts(&job) {
        let ended = in_repository(&shop, "bash", &["-e", "-c", &script], &variables);
        let judges = script.contains("loadtest judge");
        assert!(judges || ended.status.success(), "{script}\n{}", said(&ended));
    }
    let judged = Record::load(&shop.top().join("results/judged/record.json")).unwrap();
    assert!(
        judged.gate.is_some() && judged.targets.len() == 2,
        "{}",
        judged.verdict_reason
    );
}

/// The scripts of a job, in their order.
fn scripts(job: &str) -> Vec<String> {
    let parsed: Value = serde_saphyr::from_str(job).unwrap();
    let steps = parsed["jobs"]["gate"]["steps"].as_array().unwrap().clone();
    let scripts = steps.iter().filter_map(|step| Some(step["run"].as_str()?.to_owned()));
    scripts.collect()
}
