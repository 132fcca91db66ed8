//! The parts of the format that a service of one's own may need: open models, chained steps, expectations, rows of a
//! file.

mod support;

use std::path::Path;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use scenarios::testing::{WorkloadText, body_text, edited};
use scenarios::{Arrive, Spacing, Workload};
use support::refusal;

/// A shop, whose users list, order, and look the order up.
const SHOP: WorkloadText<'_> = WorkloadText {
    name: "shop",
    measure_s: 30.0,
    drain_s: 5.0,
    blocks: 1,
    model: r#"[model.open]
arrive = "sessions"
spacing = "even"
ramp_s = 1
connections = 64
rate = { steps = [{ per_s = 10, for_s = 5 }, { per_s = 20, for_s = 5 }] }
"#,
    warm_up: "duration_s = 2\nthink_time_scale = 1\n",
    quick: "warm_up_s = 1\nmeasure_s = 2\nblocks = 1\n",
    rest: r#"[consistency]
bound_ms = 100
version_header = "ETag-Number"
[probes.prometheus]
path = "/metrics"
keep = ["http_requests_total"]
[feeders.user]
csv = { file = "users.csv", numbers = ["id"], order = "random" }
[feeders.order_key]
sequence = { from = 1000 }
[think_times]
pause = { constant = { ms = 20 } }
[endpoints.order]
method = "POST"
path = "/orders"
body = { user = "{user.id}", key = "{order_key}" }
expect_status = [200, 201]
expect_headers = { content-type = "application/json", location = "*" }
expect_json = { "/user/name" = "{user.name}", "/total" = 0 }
write = true
entity = "order:{order_key}"
[endpoints.status]
path = "/orders/{order}"
[journeys.buy]
weight = 1
steps = [
    { endpoint = "order", think = "pause", extract = { order = "/id" } },
    { endpoint = "status" },
]
[journeys.look]
weight = 0
steps = [
    { endpoint = "order", extract = { order = "/id" } },
    { endpoint = "status" },
]
"#,
};

const USERS: &str = "id,name\n1,ada\n2,grace\n";

fn load(users: &str) -> Workload {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("users.csv"), users).expect("a writable directory");
    Workload::parse(&directory.path().join("w.toml"), &SHOP.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn shop() -> Workload {
    load(USERS)
}

/// What is said of the shop with `from` replaced by `to`.
fn said(from: &str, to: &str) -> String {
    said_with(&edited(&SHOP.to_string(), from, to), USERS)
}

fn said_with(text: &str, users: &str) -> String {
    refusal(text, &[("users.csv", users)], |file| Workload::load(file).map(|_| ()))
}

#[test]
fn every_part_is_read() {
    let workload = shop();
    let open = workload.models.open.as_ref().expect("an open model");
    assert_eq!(
        (open.arrive, open.spacing, open.connections),
        (Arrive::Sessions, Spacing::Even, 64)
    );
    assert_eq!(open.rate.describe(), "10/s for 5 s, then 20/s");
    assert!((workload.requests_per_arrival(open.arrive) - 2.0).abs() < f64::EPSILON);
    assert!(workload.models.closed.is_none());
    let consistency = workload.consistency.as_ref().expect("it follows versions");
    assert_eq!(consistency.version_header, "etag-number");
    assert_eq!(
        workload.prometheus.as_ref().expect("a page").keep,
        ["http_requests_total"]
    );
}

/// Everything but the endpoints has a default.
#[test]
fn without_journeys_each_endpoint_is_one() {
    let text = "[feeders.id]\nuniform = { min = 1, max = 9 }\n[endpoints.item]\npath = \"/items/{id}\"\n\
                [endpoints.page]\npath = \"/\"\n";
    let workload = Workload::parse(Path::new("w.toml"), text).unwrap_or_else(|error| panic!("{error}"));
    let journeys: Vec<(&str, u32, usize)> = workload
        .journeys
        .iter()
        .map(|journey| (journey.name.as_str(), journey.weight, journey.steps[0].endpoint))
        .collect();
    assert_eq!(journeys, [("item", 1, 0), ("page", 1, 1)]);
    assert_eq!(
        (workload.journeys[0].feeders.len(), workload.journeys[1].feeders.len()),
        (1, 0)
    );
}

#[test]
fn a_row_and_a_sequence_come_into_the_request() {
    let workload = shop();
    let (sequences, mut vars) = (workload.new_sequences(), workload.new_vars());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let order = &workload.endpoints[0];
    let mut body = || {
        let mut text = String::new();
        workload.draw(&order.feeders, &sequences, &mut rng, &mut vars);
        text.push_str(&body_text(order.body.as_ref().expect("a body"), &vars));
        order.entity.as_ref().expect("an entity").render(&vars, &mut text);
        text
    };
    let bodies: Vec<String> = (0..20).map(|_| body()).collect();
    assert!(
        bodies[0].ends_with("\"key\":1000}order:1000") && bodies[19].ends_with("\"key\":1019}order:1019"),
        "{bodies:?}"
    );
    assert!(bodies.iter().any(|text| text.starts_with("{\"user\":1,")), "{bodies:?}");
    assert!(bodies.iter().any(|text| text.starts_with("{\"user\":2,")), "{bodies:?}");
}

#[test]
fn the_rows_are_part_of_the_identity() {
    assert_ne!(shop().sha256, load("id,name\n3,barbara\n").sha256);
}

#[test]
fn a_step_needs_what_it_uses_before_it() {
    insta::assert_snapshot!(
        said(
            "steps = [\n    { endpoint = \"order\", think",
            "steps = [\n    { endpoint = \"status\" },\n    { endpoint = \"order\", think",
        ),
        @"w.toml:44: endpoint `status` uses `order`, which no earlier step of this journey extracts"
    );
    // What another journey extracts does not help.
    insta::assert_snapshot!(
        said(", extract = { order = \"/id\" } }", " }"),
        @"w.toml:45: endpoint `status` uses `order`, which no earlier step of this journey extracts"
    );
}

#[test]
fn arrivals_that_cannot_be() {
    insta::assert_snapshot!(
        said("\"sessions\"", "\"requests\""),
        @"w.toml:6: journey `buy` hands values from one step to the next, which single requests cannot; write \
          `arrive = \"sessions\"`"
    );
    insta::assert_snapshot!(
        said("\"sessions\"", "\"sesions\""),
        @"w.toml:6: unknown name `sesions`; did you mean `sessions`?"
    );
    insta::assert_snapshot!(said("per_s = 10,", "per_s = -10,"), @"w.toml:10: `per_s` is -10: it must be 0 or more");
    insta::assert_snapshot!(
        said("steps = [{ per_s = 10, for_s = 5 }, { per_s = 20, for_s = 5 }]", "steps = []"),
        @"w.toml:10: `steps` is empty"
    );
    insta::assert_snapshot!(
        said(
            "rate = { steps = [{ per_s = 10, for_s = 5 }, { per_s = 20, for_s = 5 }] }",
            "rate = { constant = { per_s = 0 } }",
        ),
        @"w.toml:10: `per_s` is 0: it must be above 0"
    );
    insta::assert_snapshot!(
        said("connections = 64", "connections = 0"),
        @"w.toml:9: `connections` is 0: it must be 1 or more"
    );
}

#[test]
fn what_no_header_can_hold_is_refused_before_it_is_sent() {
    let text = edited(
        &SHOP.to_string(),
        "path = \"/orders\"",
        "path = \"/orders\"\nheaders = { x-name = \"{user.name}\", x-line = \"a\\nb\" }",
    );
    insta::assert_snapshot!(
        said_with(&text, "id,name\n1,ada\n2,\"gra\nce\"\n"),
        @r"
    w.toml:30: header `x-name`: row 2 of its file has a line break or a control character, which no header can hold
    w.toml:33: header `x-line` has a line break or a control character, which no header can hold
    "
    );
}

/// A column may be called anything.
#[test]
fn a_column_with_a_blank_in_its_name_is_a_variable_everywhere() {
    let text = edited(
        &SHOP.to_string(),
        "path = \"/orders\"",
        "path = \"/orders/{user.full name}\"",
    );
    let text = edited(
        &text,
        "body = { user",
        "headers = { x-name = \"{user.full name}\" }\nbody = { n = \"{user.full name}\", user",
    );
    let text = edited(&text, "\"{user.name}\"", "\"{user.full name}\"");
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("users.csv"), "id,full name\n1,\"Zo\u{eb}  B\"\n")
        .expect("a writable directory");
    let workload = Workload::parse(&directory.path().join("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"));
    let (order, mut vars, mut out) = (&workload.endpoints[0], workload.new_vars(), String::new());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    workload.draw(&order.feeders, &workload.new_sequences(), &mut rng, &mut vars);
    order.path.render(&vars, &mut out);
    order.headers[0].1.render(&vars, &mut out);
    assert_eq!(out, "/orders/Zo%C3%AB%20%20BZo\u{eb}  B");
}

#[test]
fn expectations_that_cannot_hold() {
    insta::assert_snapshot!(
        said("\"/total\" = 0", "\"total\" = 0"),
        @"w.toml:36: `total` is no JSON pointer: it must start with a slash, like `/total`"
    );
    insta::assert_snapshot!(
        said("\"/total\" = 0", "\"/total\" = [0]"),
        @"w.toml:36: only a text, number or boolean can be expected; point at a field inside it"
    );
    insta::assert_snapshot!(
        said("\"{user.name}\"", "\"{user.nmae}\""),
        @"w.toml:36: unknown variable `user.nmae`; did you mean `user.name`?"
    );
    insta::assert_snapshot!(
        said("\"{user.name}\"", "\"Dr. {user.name}\""),
        @r#"w.toml:36: a variable inside a longer text cannot be expected; write the whole value, or `"{var}"`"#
    );
    insta::assert_snapshot!(said("location = ", "\"loc ation\" = "), @"w.toml:35: `loc ation` is no header name");
}

#[test]
fn versions_and_metrics() {
    insta::assert_snapshot!(
        said("[consistency]\nbound_ms = 100\nversion_header = \"ETag-Number\"\n", ""),
        @"w.toml:35: `entity` says whose versions to follow, but nothing follows them; add a table `[consistency]` \
          with `bound_ms`"
    );
    insta::assert_snapshot!(said("ETag-Number", "ETag: Number"), @"w.toml:20: `ETag: Number` is no header name");
    insta::assert_snapshot!(
        said("http_requests_total", "http_requests_total{route}"),
        @"w.toml:23: `http_requests_total{route}` is no name of a Prometheus metric: letters, digits, `_` and `:`, \
          without labels"
    );
    insta::assert_snapshot!(
        said("path = \"/metrics\"", "path = \"metrics\""),
        @"w.toml:22: path `metrics` must start with a slash"
    );
}

#[test]
fn rows_and_sequences() {
    insta::assert_snapshot!(
        said("numbers = [\"id\"]", "numbers = [\"number\"]"),
        @"w.toml:25: users.csv:1: there is no column `number`; there are id, name"
    );
    insta::assert_snapshot!(
        said("users.csv", "people.csv"),
        @"w.toml:25: people.csv cannot be read: No such file or directory (os error 2)"
    );
    insta::assert_snapshot!(
        said("from = 1000", "from = 1000, step = 0"),
        @"w.toml:27: `step` is 0: every value would be the same"
    );
    insta::assert_snapshot!(
        said("\"random\"", "\"shuffled\""),
        @"w.toml:25: unknown name `shuffled`; valid here, nearest first: `sequence`, `random`"
    );
    insta::assert_snapshot!(
        said_with(&SHOP.to_string(), "id,name\n1\n"),
        @"w.toml:25: users.csv:2: 1 fields where the header line has 2"
    );
}
