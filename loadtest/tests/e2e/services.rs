//! Services that are not ours, launched, gated and taken apart by their subject files: revisions of a throw-away
//! repository, a Node server that needs nothing and a FastAPI application with a Postgres.

use measure::record::{CapacityOutcome, Comparison, Family, Outcome, Record, Verdict};

use crate::support::{Finished, ThrowAway, Workplace, check, repository};

/// Gates `AFTER` against `first` in the shortest blocks, with further arguments.
fn gate(service: &ThrowAway, after: &str, arguments: &[&str]) -> (Finished, Record) {
    let place = Workplace::new();
    let shortest = [
        "compare",
        "--model",
        "open",
        "--blocks",
        "8",
        "--measure-s",
        "0.1",
        "--warm-up",
        "500ms",
    ];
    let subjects = ["git:first", after];
    let finished = service
        .loadtest(&place, &[&shortest[..], arguments, &subjects].concat())
        .finish();
    place.assert_nothing_left(&finished);
    let record = place.record();
    (finished, record)
}

fn p95<'r>(record: &'r Record, endpoint: &str) -> &'r Comparison {
    let fits = |one: &&Comparison| one.family == Family::LatencyP95 && one.endpoint == endpoint;
    let found = record.comparisons.iter().find(fits);
    found.unwrap_or_else(|| panic!("no p95 of {endpoint} among {:#?}", record.comparisons))
}

const SHOP: &str = "scenarios/examples/shop";
/// One request to the shop, without a workload file.
const ITEMS: [&str; 8] = [
    "--path",
    "/items",
    "-H",
    "authorization: Bearer token-of-ada",
    "--rate",
    "100",
    "--service",
    "scenarios/examples/shop/service.toml",
];

/// A revision that answers a page after a tenth of a second is gated against the one before it, both built from the
/// repository and launched for each block: the page is called slower, and no server was started.
#[test]
fn a_revision_that_is_slower_is_called_so() {
    let shop = ThrowAway::of(SHOP);
    shop.change(
        "server.mjs",
        "return send(response, 200, { items });",
        "return setTimeout(() => send(response, 200, { items }), 100);",
        "slow",
    );
    let (finished, record) = gate(&shop, "git:slow", &ITEMS);
    let slow = p95(&record, "request");
    assert_eq!(slow.outcome, Outcome::Regress, "{slow:?}\n{}", finished.text);
    assert!(slow.ratio > 5.0, "{slow:?}");
    assert!(record.stack.is_empty(), "no server is needed: {:?}", record.stack);
    for (subject, name) in record.subjects.iter().zip(["first", "slow"]) {
        let sha = shop.git(&["rev-parse", name]);
        assert_eq!((subject.kind.as_str(), subject.name.as_str()), ("git", name));
        assert_eq!(subject.git.as_deref(), Some(&sha[..12]));
    }
    assert_eq!(
        shop.git(&["status", "--porcelain"]),
        "",
        "nothing is left in the repository"
    );
}

/// Two revisions that differ in a comment.
#[test]
fn a_revision_that_does_the_same_is_not_called_slower() {
    let shop = ThrowAway::of(SHOP);
    shop.change("server.mjs", "// A small shop", "// A little shop", "same");
    let (finished, record) = gate(&shop, "git:same", &ITEMS);
    assert!(
        record.comparisons.iter().all(|one| one.outcome != Outcome::Regress),
        "{}",
        finished.text
    );
    assert_ne!(record.verdict, Verdict::Regression);
}

/// What is in the working tree and not committed is measured as such.
#[test]
fn the_working_tree_is_measured_as_it_stands() {
    let shop = ThrowAway::of(SHOP);
    let text = std::fs::read_to_string(shop.path("server.mjs")).unwrap();
    std::fs::write(shop.path("server.mjs"), text.replace("apple", "quince")).unwrap();
    let place = Workplace::new();
    let file = shop.path("shop.toml");
    let arguments = [
        "run",
        "--quick",
        "--model",
        "open",
        "--workload",
        file.to_str().unwrap(),
    ];
    let finished = shop
        .loadtest(&place, &[&arguments[..], &["--subject", "git:."]].concat())
        .finish();
    finished.assert_says("expected \"apple\" as `/items/0` of the body, got \"quince\"");
    let git = place.record().subjects[0].git.clone().unwrap();
    assert!(git.ends_with("-dirty"), "{git}");
    let committed = shop
        .loadtest(&place, &[&arguments[..], &["--subject", "git:main"]].concat())
        .finish();
    committed.assert_says("changes that are not part of main");
    assert!(check(&place.record(), "few errors").ok, "{}", committed.text);
}

const FASTAPI: &str = "scenarios/examples/fastapi";

/// What a service with a database is for a harness that knows nothing of it: the data set is filled once and every
/// launch has its own clone; only the server that it needs is started.
#[test]
fn a_service_in_python_with_a_database_is_launched_and_taken_apart() {
    let app = ThrowAway::of(FASTAPI);
    let workload = app.path("workload.toml");
    let place = Workplace::new();
    let ablate = [
        "compare",
        "--ablate",
        "--workload",
        workload.to_str().unwrap(),
        "--users",
        "5",
    ];
    let short = ["--for", "2s", "--warm-up", "1s", "--blocks", "2", "git:first"];
    let finished = app.loadtest(&place, &[&ablate[..], &short].concat()).finish();
    place.assert_nothing_left(&finished);
    let record = place.record();
    let servers: Vec<&str> = record.stack.keys().map(String::as_str).collect();
    assert_eq!(servers, ["postgres"], "{}", finished.text);
    let queries = |subject: &str| record.summary[subject].metrics["db.queries_per_request"].value;
    let (whole, without) = (queries("first"), queries("without cache"));
    assert!(
        without > 1.3 * whole && whole > 0.0,
        "{whole} statements per request with the cache, {without} without\n{}",
        finished.text
    );
    let memory = record.summary["first"].metrics["service.rss_mb"].value;
    assert!(memory > 10.0, "an interpreter has more than {memory} MB");

    let search = [
        "capacity",
        "--quick",
        "--workload",
        workload.to_str().unwrap(),
        "--subject",
        "git:first",
    ];
    let short = ["--p95-ms", "100", "--rounds", "3", "--step-s", "1", "--soak-s", "5"];
    let finished = app.loadtest(&place, &[&search[..], &short].concat()).finish();
    place.assert_nothing_left(&finished);
    let capacity = place.record().capacity.unwrap();
    assert_ne!(capacity.outcome, CapacityOutcome::Unfinished, "{}", finished.text);
    assert!(capacity.steps.len() > 3, "{capacity:?}");
}

/// The statement of the slow revision sleeps, once: in a subquery, since it would sleep for each row of the join. At
/// 120 requests a second it then holds four or five of the eight connections. Orders are too few for a verdict.
#[test]
fn a_slower_query_of_a_service_in_python_is_called_so() {
    let app = ThrowAway::of(FASTAPI);
    app.change(
        "app.py",
        "WHERE i.id = $1",
        "WHERE i.id = $1 AND (SELECT pg_sleep(0.04)) IS NOT NULL",
        "slow",
    );
    let workload = app.path("workload.toml");
    let more = ["--workload", workload.to_str().unwrap(), "--rate", "120"];
    let plain = ["--before-env", "CACHE=off", "--after-env", "CACHE=off"];
    let (finished, record) = gate(&app, "git:slow", &[&more[..], &plain].concat());
    assert_eq!(p95(&record, "item").outcome, Outcome::Regress, "{}", finished.text);
}

/// A subject file of at most 25 lines is enough for either example.
#[test]
fn the_examples_are_short() {
    for folder in [SHOP, FASTAPI] {
        let text = std::fs::read_to_string(repository(folder).join("service.toml")).unwrap();
        assert!(text.lines().count() <= 25, "{folder}");
    }
}
