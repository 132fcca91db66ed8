//! What a workload can say of requests and answers, against a server of Node's that tells what it was asked.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use load::{LoadReport, Pages, Target};
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};

use crate::kit::{MODELS, assert_all_answered, counted, drive, drive_some, page, workload};

/// Longer than Node takes to start.
const START: Duration = Duration::from_secs(20);

/// The server, until it is dropped.
struct Echo {
    address: SocketAddr,
    _process: Supervised,
}

impl Echo {
    async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/echo.mjs");
        let mut command = Command::new("node");
        command.arg(script);
        let process = Supervised::spawn(command, Output::Lines { errors: None }, Ending::default());
        let mut process = process.expect("node runs: install it with `apt-get install nodejs`");
        let port = |line: &str| line.strip_prefix("listening on ")?.parse::<u16>().ok();
        let port = process.line(&Patience::new(START), port).await.unwrap();
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _process: process,
        }
    }

    fn target(&self) -> Target {
        Target::named(vec![self.address], "echo".to_owned())
    }

    async fn drive(&self, tables: &str, model: &str) -> LoadReport {
        drive(workload(tables), model, self.target()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive_as_they_were_written() {
    let echo = Echo::start().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (body, expected) in [
        (
            "body_form = { user = \"a b\", n = 2 }",
            "\"/body\" = \"user=a%20b&n=2\"\n\"/headers/content-type\" = \"application/x-www-form-urlencoded\""
                .to_owned(),
        ),
        (
            "body_text = \"<x>\"",
            "\"/body\" = \"<x>\"\n\"/headers/content-type\" = \"text/plain; charset=utf-8\"".to_owned(),
        ),
        (
            &format!("body_file = \"{file}\""),
            format!(
                "\"/headers/content-length\" = \"{}\"",
                std::fs::metadata(file).unwrap().len()
            ),
        ),
    ] {
        let expected = expected.replace('\n', ", ");
        let page = page(&format!(
            "path = \"/x\"\nmethod = \"POST\"\n{body}\nexpect_json = {{ {expected} }}"
        ));
        assert_all_answered(&echo.drive(&page, "closed").await);
    }
    let page = page(&format!(
        "path = \"/x\"\nmethod = \"POST\"\n\
         body_multipart = {{ note = \"é\", upload = {{ file = \"{file}\", type = \"text/x-toml\" }} }}\n\
         expect_regex = '(?s)multipart/form-data; boundary=.*name=.{{2}}note.*name=.{{2}}upload.{{2}}; \
         filename=.{{2}}Cargo.toml.*text/x-toml.*description ='"
    ));
    assert_all_answered(&echo.drive(&page, "closed").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_taken_from_headers_texts_and_cookies_and_handed_on() {
    let echo = Echo::start().await;
    let tables = r#"
[endpoints.form]
path = "/form"
[endpoints.next]
path = "{next}"
headers = { x-csrf = "{csrf}" }
expect_json = { "/url" = "/items?page=2", "/headers/x-csrf" = "0k en" }
[endpoints.visit]
path = "/visit"
[endpoints.again]
path = "/again"
headers = { x-visitor = "{visitor}" }
expect_regex = '"x-visitor":"\d+"'
[journeys.buy]
steps = [
  { endpoint = "form", extract.next = { header = "link", regex = "<([^>]+)>" }, extract.csrf.regex = '"t([^"]+)"' },
  { endpoint = "next", think = "short" },
  { endpoint = "visit", extract = { visitor = { cookie = "visitor" } } },
  { endpoint = "again", think = "short" },
]
"#;
    assert_all_answered(&echo.drive(tables, "closed").await);
    let missing = tables.replace("regex = \"<([^>]+)>\"", "regex = \"<<([^>]+)>\"");
    let report = echo.drive(&missing, "closed").await;
    let example = &report.failures[0].examples[0];
    assert!(
        example.contains("nothing that `<<([^>]+)>` matches in header `link`, which `next` is taken from"),
        "{example}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_sent_and_secrets_stand_in_no_message() {
    let echo = Echo::start().await;
    // Set by cargo for every test.
    let password = "{env.CARGO_PKG_NAME}-{env.CARGO_PKG_VERSION}";
    let basic = format!("[http]\nbasic = {{ user = \"ann\", password = \"{password}\" }}\n");
    let sent = page("path = \"/\"\nexpect_regex = '\"authorization\":\"Basic [A-Za-z0-9+/=]{20,}\"'");
    assert_all_answered(&echo.drive(&(basic.clone() + &sent), "closed").await);
    let refused = page("path = \"/\"\nexpect_json = { \"/headers/authorization\" = \"Basic nobody\" }");
    let report = echo.drive(&(basic + &refused), "closed").await;
    let example = &report.failures[0].examples[0];
    assert!(example.contains("Basic {http.basic}"), "{example}");

    let bearer = "[http]\nbearer = \"{env.CARGO_PKG_VERSION}\"\n".to_owned();
    let sent = page("path = \"/\"\nexpect_text = \"Bearer {env.CARGO_PKG_VERSION}\"");
    assert_all_answered(&echo.drive(&(bearer.clone() + &sent), "closed").await);
    let refused = page("path = \"/\"\nexpect_text = \"nothing {env.CARGO_PKG_VERSION}\"");
    let report = echo.drive(&(bearer + &refused), "closed").await;
    let example = &report.failures[0].examples[0];
    let conceals = example.contains("{env.CARGO_PKG_VERSION}") && !example.contains(env!("CARGO_PKG_VERSION"));
    assert!(conceals, "{example}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_path_stands_before_every_path() {
    let echo = Echo::start().await;
    let workload = workload(&page(
        "path = \"/items?x=1\"\nexpect_json = { \"/url\" = \"/api/items?x=1\", \"/headers/host\" = \"echo\" }",
    ));
    let target = Target {
        base_path: "/api".to_owned(),
        ..echo.target()
    };
    assert_all_answered(&drive(workload, "closed", target).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_held_to_their_size_and_text() {
    let echo = Echo::start().await;
    let failing = [
        ("expect_bytes = { max = 10 }", "expected at most 10 bytes of body, got"),
        ("expect_text = \"pear\"", "expected \"pear\" in the body, got {"),
        ("expect_regex = '^pear'", "expected the body to match `^pear`, got {"),
    ];
    for (keys, said) in failing {
        let report = echo.drive(&page(&format!("path = \"/\"\n{keys}")), "closed").await;
        let found = counted(&report);
        assert!(found.answers == 0 && found.failures.unexpected > 0, "{found:?}");
        let example = &report.failures[0].examples[0];
        assert!(example.contains(said), "{example}");
    }
    for model in MODELS {
        let holding = "expect_bytes = { min = 10 }\nexpect_text = \"method\"\nexpect_regex = '\"GET\"'";
        assert_all_answered(&echo.drive(&page(&format!("path = \"/\"\n{holding}")), model).await);
    }
}

/// Every visit gets a cookie of its own; the next request of the same user brings it back, and not the one that belongs
/// elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn users_keep_their_own_cookies() {
    let echo = Echo::start().await;
    let tables = r#"
[http]
cookies = true
[endpoints.visit]
path = "/visit"
[endpoints.again]
path = "/again"
headers = { x-expected = "visitor={visitor}" }
expect_regex = '"cookie":"visitor=\d+"'
expect_json = { "/headers/cookie" = "*" }
[journeys.look]
steps = [
  { endpoint = "visit", think = "short", extract = { visitor = { cookie = "visitor" } } },
  { endpoint = "again" },
]
"#;
    for model in ["closed", "open"] {
        let sessions = workload(tables);
        if model == "closed" {
            assert_all_answered(&drive(sessions, model, echo.target()).await);
        }
    }
    let without = tables.replace("cookies = true", "");
    let found = counted(&echo.drive(&without, "closed").await);
    assert!(
        found.failures.unexpected > 0,
        "nobody sends a cookie unasked: {found:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_where_asked_with_a_sample_for_each_request() {
    let echo = Echo::start().await;
    for http in ["", "[http]\ncookies = true\n"] {
        let follow = format!(
            "{http}{}",
            page("path = \"/redirect/2\"\nredirects = 5\nexpect_json = { \"/url\" = \"/redirect/0\" }")
        );
        for model in MODELS {
            let report = echo.drive(&follow, model).await;
            let found = assert_all_answered(&report);
            let hops: u64 = report
                .recorded
                .phases
                .iter()
                .map(|phase| phase.hops["page"].count)
                .sum();
            assert_eq!(hops, 3 * found.answers, "{model}");
        }
    }
    // What was posted is looked up where it landed.
    let landed = page(
        "method = \"POST\"\npath = \"/see-other\"\nbody = { a = 1 }\nredirects = 1\n\
         expect_json = { \"/method\" = \"GET\", \"/url\" = \"/landed\", \"/body\" = \"\" }",
    );
    assert_all_answered(&echo.drive(&landed, "closed").await);
    let report = echo.drive(&page("path = \"/for-ever\"\nredirects = 3"), "closed").await;
    let example = &report.failures[0].examples[0];
    assert!(example.contains("more than 3 times, at last to /for-ever"), "{example}");
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_answers_are_looked_into_and_counted_by_both_sizes() {
    let echo = Echo::start().await;
    for path in ["/gzip", "/br"] {
        let unpacked = page(&format!(
            "path = \"{path}\"\nheaders = {{ accept-encoding = \"gzip, br\" }}\nexpect_text = \"content content\"\n\
             expect_bytes = {{ min = 4000, max = 4000 }}"
        ));
        let report = echo.drive(&unpacked, "closed").await;
        let found = assert_all_answered(&report);
        let counts = report.recorded.phases.iter().map(|phase| &phase.endpoints["page"]);
        let sum = |of: fn(&measure::record::EndpointCounts) -> u64| counts.clone().map(of).sum::<u64>();
        assert_eq!(sum(|of| of.content_bytes), 4_000 * found.answers, "{path}");
        assert_eq!(sum(|of| of.compressed_bytes), sum(|of| of.bytes));
        assert!(sum(|of| of.bytes) < 200 * found.answers, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_requests_ends_the_measured_phase() {
    let echo = Echo::start().await;
    for model in MODELS {
        let report = drive_some(workload(&page("path = \"/\"")), model, echo.target(), Some(7)).await;
        let measured = &report.recorded.phases[1];
        // A user that begins one at the very end of the warm-up may send it within the measured phase.
        let sent = measured.endpoints["page"].sent();
        assert!((7..=8).contains(&sent), "{model}: {sent}");
        assert!(measured.end_ms > measured.start_ms, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_beside_the_load() {
    let echo = Echo::start().await;
    let target = Target {
        base_path: "/api".to_owned(),
        ..echo.target()
    };
    let mut pages = Pages::of(target);
    assert_eq!(pages.address("/metrics"), "http://echo/api/metrics");
    for _ in 0..2 {
        let text = pages.get("/metrics").await.unwrap();
        assert!(text.contains("\"url\":\"/api/metrics\""), "{text}");
    }
    let missing = Pages::of(echo.target()).get("/redirect/1").await.unwrap_err();
    assert!(missing.contains("status 302"), "{missing}");
}
