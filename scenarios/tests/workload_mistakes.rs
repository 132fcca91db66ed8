//! Each way in which a workload file can be wrong is refused with file, line and what to write instead.

mod support;

use scenarios::testing::{WorkloadText, edited};
use scenarios::{Journey, Workload};
use support::refusal;

/// The smallest workload that uses every part of the format.
const VALID: WorkloadText<'_> = WorkloadText {
    name: "small",
    measure_s: 30.0,
    drain_s: 5.0,
    blocks: 6,
    model: "[model.closed]\nusers = 100\nramp_s = 1\n",
    warm_up: "duration_s = 10\nthink_time_scale = 0.05\n",
    quick: "warm_up_s = 2\nmeasure_s = 5\nblocks = 5\n",
    rest: r#"[setup.login]
method = "POST"
path = "/login"
body = { user = "u" }
extract = { token = "/access_token" }
[feeders.driver]
zipf = { n = 10, s = 0.99 }
[feeders.km]
uniform = { min = 1, max = 9 }
[think_times]
read = { log_normal = { median_ms = 2000, p95_ms = 6000 } }
beat = { uniform = { min_ms = 10, max_ms = 20 } }
[endpoints.details]
path = "/drivers/{driver}"
headers = { authorization = "Bearer {token}" }
[endpoints.upload]
method = "POST"
path = "/trips"
body = { km = "{km}" }
expect_status = [201]
write = true
timeout_ms = 500
[journeys.look]
weight = 3
steps = [
    { endpoint = "details", think = "read" },
    { endpoint = "upload" },
]
[journeys.idle]
weight = 0
steps = [{ endpoint = "details" }]
"#,
};

fn valid() -> String {
    VALID.to_string()
}

/// What is said of a text that is no valid workload.
fn refused(text: &str) -> String {
    refusal(text, &[], |file| Workload::load(file).map(|_| ()))
}

/// What is said of the valid workload with `from` replaced by `to`.
fn said(from: &str, to: &str) -> String {
    refused(&edited(&valid(), from, to))
}

#[test]
fn the_unedited_workload_is_valid() {
    let workload = VALID.parsed();
    assert_eq!(workload.endpoint_names(), ["details", "upload"]);
    assert_eq!(workload.journeys[0].feeders, [0, 1]);
    assert_eq!(workload.journeys[1].feeders, [0]);
    assert_eq!(workload.endpoints[1].timeout_ms, 500);
    assert!(workload.endpoints[0].expect.status.is_empty(), "any success");
}

#[test]
fn misspelt_keys() {
    insta::assert_snapshot!(said("drain_s", "drian_s"), @"w.toml:3: unknown key `drian_s`; did you mean `drain_s`?");
    insta::assert_snapshot!(said("users", "user"), @"w.toml:6: unknown key `user`; did you mean `users`?");
    insta::assert_snapshot!(
        said("weight = 3", "wieght = 3"),
        @"w.toml:38: unknown key `wieght`; did you mean `weight`?"
    );
    insta::assert_snapshot!(
        said("think = \"read\"", "tink = \"read\""),
        @"w.toml:40: unknown key `tink`; did you mean `think`?"
    );
    insta::assert_snapshot!(
        said("s = 0.99", "s = 0.99, q = 1"),
        @"w.toml:21: unknown key `q`; valid here, nearest first: `from`, `n`, `s`"
    );
    insta::assert_snapshot!(
        said("[feeders.km]", "[feeder.km]"),
        @"w.toml:22: unknown key `feeder`; did you mean `feeders`?"
    );
    insta::assert_snapshot!(
        said("p95_ms = 6000", "p99_ms = 6000"),
        @"w.toml:25: unknown key `p99_ms`; did you mean `p95_ms`?"
    );
    insta::assert_snapshot!(
        said("extract = ", "extracts = "),
        @"w.toml:19: unknown key `extracts`; did you mean `extract`?"
    );
}

#[test]
fn all_misspelt_keys_of_a_file_are_reported_at_once() {
    let text = edited(&edited(&valid(), "users", "usres"), "weight = 3", "wieght = 3");
    let text = edited(&text, "write = true", "writes = true");
    insta::assert_snapshot!(refused(&text), @r"
    w.toml:6: unknown key `usres`; did you mean `users`?
    w.toml:35: unknown key `writes`; did you mean `write`?
    w.toml:38: unknown key `wieght`; did you mean `weight`?
    ");
}

#[test]
fn kinds_that_do_not_exist() {
    insta::assert_snapshot!(said("zipf =", "zipff ="), @"w.toml:21: unknown name `zipff`; did you mean `zipf`?");
    insta::assert_snapshot!(
        said("log_normal =", "lognormal ="),
        @"w.toml:25: unknown name `lognormal`; did you mean `log_normal`?"
    );
    insta::assert_snapshot!(
        said("[model.closed]", "[model.cloesd]"),
        @"w.toml:5: unknown key `cloesd`; did you mean `closed`?"
    );
    insta::assert_snapshot!(
        said("\"POST\"\npath = \"/trips\"", "\"PSOT\"\npath = \"/trips\""),
        @"w.toml:31: unknown name `PSOT`; did you mean `POST`?"
    );
    insta::assert_snapshot!(
        said("zipf = {", "uniform = { min = 1, max = 2 }\nzipf = {"),
        @"w.toml:20: exactly one kind must be given here"
    );
}

#[test]
fn keys_at_the_wrong_kind_of_request() {
    insta::assert_snapshot!(
        said("extract = {", "write = true\nentity = \"user:1\"\nextract = {"),
        @r"
    w.toml:19: `write` is for endpoints: a setup request is not counted
    w.toml:20: `entity` is for endpoints: a setup request is not counted
    "
    );
}

/// Who follows its writes needs it wherever the endpoint is requested; requests need it in order.
#[test]
fn what_an_endpoint_takes_from_its_answers_is_for_no_request() {
    let text = edited(
        &valid(),
        "path = \"/trips\"",
        "path = \"/trips\"\nextract = { id = \"/id\" }",
    );
    let workload = Workload::parse("w.toml".as_ref(), &text).unwrap_or_else(|error| panic!("{error}"));
    let upload = workload
        .endpoints
        .iter()
        .find(|endpoint| endpoint.name == "upload")
        .unwrap();
    assert_eq!(upload.extract[0].var, "id");
    assert!(!workload.journeys.iter().any(Journey::hands_values_on));
    insta::assert_snapshot!(
        said("path = \"/trips\"", "path = \"/trips/{id}\"\nextract = { id = \"/id\" }"),
        @"w.toml:42: endpoint `upload` uses `id`, which no earlier step of this journey extracts"
    );
    let alone = "[endpoints.a]\npath = \"/a\"\nextract = { id = \"/id\" }\n[endpoints.b]\npath = \"/{id}\"\n";
    insta::assert_snapshot!(
        refusal(alone, &[], |file| Workload::load(file).map(|_| ())),
        @"w.toml:1: endpoint `b` uses `id`, which no earlier step of this journey extracts"
    );
}

#[test]
fn names_that_are_not_defined() {
    insta::assert_snapshot!(
        said("endpoint = \"upload\"", "endpoint = \"uplaod\""),
        @"w.toml:41: unknown endpoint `uplaod`; did you mean `upload`?"
    );
    insta::assert_snapshot!(
        said("think = \"read\"", "think = \"raed\""),
        @"w.toml:40: unknown think time `raed`; did you mean `read`?"
    );
    insta::assert_snapshot!(
        said("/drivers/{driver}", "/drivers/{drvier}"),
        @"w.toml:28: unknown variable `drvier`; did you mean `driver`?"
    );
    insta::assert_snapshot!(
        said("Bearer {token}", "Bearer {tokn}"),
        @"w.toml:29: unknown variable `tokn`; did you mean `token`?"
    );
    insta::assert_snapshot!(said("\"{km}\"", "\"{kn}\""), @"w.toml:33: unknown variable `kn`; did you mean `km`?");
    // Setup comes before the first journey: there is nothing to draw yet, and nothing has been extracted either.
    insta::assert_snapshot!(
        said("user = \"u\"", "user = \"{driver}\""),
        @"w.toml:18: unknown variable `driver`; no variable is defined"
    );
}

#[test]
fn names_that_are_defined_twice() {
    insta::assert_snapshot!(said("[feeders.km]", "[feeders.driver]"), @"w.toml:22: duplicate key `driver`");
    insta::assert_snapshot!(said("[endpoints.upload]", "[endpoints.details]"), @"w.toml:30: duplicate key `details`");
    insta::assert_snapshot!(said("[journeys.idle]", "[journeys.look]"), @"w.toml:43: duplicate key `look`");
    insta::assert_snapshot!(
        said("[feeders.km]\n", "[feeders.token]\nuniform = { min = 1, max = 2 }\n[feeders.km]\n"),
        @"w.toml:22: variable `token` is defined twice"
    );
    insta::assert_snapshot!(
        said("{ authorization = ", "{ X-A = \"1\", x-a = \"2\", authorization = "),
        @"w.toml:29: header `x-a` is given twice"
    );
    insta::assert_snapshot!(
        said("{ authorization = ", "{ Content-Length = \"1\", authorization = "),
        @"w.toml:29: header `content-length` follows from the body: leave it out"
    );
}

#[test]
fn journeys_that_request_nothing() {
    insta::assert_snapshot!(
        said("weight = 3", "weight = 0"),
        @"w.toml:38: every journey has `weight` 0, so nothing would be requested; give at least one journey a weight \
          of 1 or more"
    );
    insta::assert_snapshot!(
        said("steps = [{ endpoint = \"details\" }]", "steps = []"),
        @"w.toml:45: journey `idle` has no steps"
    );
    insta::assert_snapshot!(
        refused("[model.closed]\nusers = 1\n"),
        @"w.toml:1: there are no endpoints; add a table `[endpoints.NAME]`"
    );
}

#[test]
fn numbers_out_of_range() {
    insta::assert_snapshot!(said("users = 100", "users = 0"), @"w.toml:6: `users` is 0: it must be 1 or more");
    insta::assert_snapshot!(
        said("users = 100", "users = -1"),
        @"w.toml:6: invalid value: integer `-1`, expected a whole number from 0 to 4294967295"
    );
    insta::assert_snapshot!(said("measure_s = 30", "measure_s = 0"), @"w.toml:2: `measure_s` is 0: it must be above 0");
    insta::assert_snapshot!(
        said("measure_s = 5", "measure_s = -5"),
        @"w.toml:13: `measure_s` is -5: it must be above 0"
    );
    insta::assert_snapshot!(
        said("drain_s = 5", "drain_s = -0.5"),
        @"w.toml:3: `drain_s` is -0.5: it must be 0 or more"
    );
    insta::assert_snapshot!(said("ramp_s = 1", "ramp_s = nan"), @"w.toml:7: `ramp_s` is NaN: it must be 0 or more");
    insta::assert_snapshot!(said("blocks = 6", "blocks = 0"), @"w.toml:4: `blocks` is 0: it must be 1 or more");
    insta::assert_snapshot!(
        said("duration_s = 10", "duration_s = inf"),
        @"w.toml:9: `duration_s` is inf: it must be 0 or more"
    );
    insta::assert_snapshot!(
        said("scale = 0.05", "scale = 0"),
        @"w.toml:10: `think_time_scale` is 0: it must be above 0"
    );
    insta::assert_snapshot!(
        said("scale = 0.05", "scale = 20"),
        @"w.toml:10: `think_time_scale` is 20: above 1 the warm-up would be slower than what is measured"
    );
    insta::assert_snapshot!(said("n = 10,", "n = 0,"), @"w.toml:21: `n` is 0: it must be 1 or more");
    insta::assert_snapshot!(said("s = 0.99", "s = -0.99"), @"w.toml:21: `s` is -0.99: it must be 0 or more");
    insta::assert_snapshot!(
        said("{ n = 10,", "{ from = 9223372036854775807, n = 10,"),
        @"w.toml:21: `from` plus `n` is larger than a 64-bit integer can hold"
    );
    insta::assert_snapshot!(said("max = 9", "max = 0"), @"w.toml:23: `max` is 0, below `min`, which is 1");
    insta::assert_snapshot!(
        said("max_ms = 20", "max_ms = 5"),
        @"w.toml:26: `max_ms` is 5, below `min_ms`, which is 10"
    );
    insta::assert_snapshot!(
        said("p95_ms = 6000", "p95_ms = 600"),
        @"w.toml:25: `p95_ms` is 600, below `median_ms`, which is 2000"
    );
    insta::assert_snapshot!(
        said("median_ms = 2000", "median_ms = -2"),
        @"w.toml:25: `median_ms` is -2: it must be above 0"
    );
    insta::assert_snapshot!(
        said("timeout_ms = 500", "timeout_ms = 0"),
        @"w.toml:36: `timeout_ms` is 0: it must be 1 or more"
    );
}

#[test]
fn requests_that_cannot_be_sent_or_judged() {
    insta::assert_snapshot!(said("\"/trips\"", "\"trips\""), @"w.toml:32: path `trips` must start with a slash");
    insta::assert_snapshot!(
        said("\"/trips\"", "\"/all trips\""),
        @"w.toml:32: path `/all trips` must be printable ASCII without spaces: percent-encode everything else"
    );
    insta::assert_snapshot!(
        said("/drivers/{driver}", "/drivers/{driver"),
        @"w.toml:28: unbalanced brace in `/drivers/{driver`; write `{{` or `}}` for a brace that is meant as text"
    );
    insta::assert_snapshot!(said("[201]", "[20]"), @"w.toml:34: 20 is no HTTP status: they go from 100 to 599");
    insta::assert_snapshot!(
        said("[201]", "[]"),
        @"w.toml:34: `expect_status` is empty: every answer would count as an error"
    );
    insta::assert_snapshot!(
        said("\"/access_token\"", "\"access_token\""),
        @"w.toml:19: `access_token` is no JSON pointer: it must start with a slash, like `/access_token`"
    );
    insta::assert_snapshot!(said("authorization = ", "\"auth: x\" = "), @"w.toml:29: `auth: x` is no header name");
    insta::assert_snapshot!(said("[endpoints.upload]", "[endpoints.all]"), @r"
    w.toml:30: an endpoint cannot be called `all`: that name stands for the whole mix
    w.toml:41: unknown endpoint `upload`; valid here, nearest first: `all`, `details`
    ");
}

/// A reader mends a file once and not nine times.
#[test]
fn mistakes_of_every_kind_are_reported_at_once() {
    let text = r#"
measure_s = "long"
blocks = -1
[model.closed]
ramp_s = 1
[model.open]
rate = { steady = { per_s = 5 } }
[feeders.row]
csv = { numbers = [1] }
[feeders.km]
uniform = { min = 1 }
[think_times]
pause = { constant = { ms = "x" } }
[endpoints.page]
method = "GETT"
pth = "/"
timeout_ms = 0
[endpoints.other]
path = "other"
expect_status = 201
[journeys.look]
wait = 1
steps = ["page", { endpoint = "pgae" }, { think = "pause" }]
[journeys.idle]
weight = "often"
"#;
    let said = refused(text);
    for mistake in [
        "w.toml:2: invalid type: string \"long\", expected a number",
        "w.toml:3: invalid value: integer `-1`",
        "w.toml:4: missing key `users`",
        "w.toml:7: unknown name `steady`",
        "w.toml:9: missing key `file`",
        "w.toml:9: invalid type: integer `1`, expected a text in quotes",
        "w.toml:11: missing key `max`",
        "w.toml:13: invalid type: string \"x\", expected a number",
        "w.toml:15: unknown name `GETT`; did you mean `GET`?",
        "w.toml:16: unknown key `pth`; did you mean `path`?",
        "w.toml:17: `timeout_ms` is 0",
        "w.toml:19: path `other` must start with a slash",
        "w.toml:20: invalid type: integer `201`, expected a list in brackets",
        "w.toml:22: unknown key `wait`",
        "w.toml:23: invalid type: string \"page\", expected a table",
        "w.toml:23: missing key `endpoint`",
        "w.toml:23: unknown endpoint `pgae`; did you mean `page`?",
        "w.toml:24: missing key `steps`",
        "w.toml:25: invalid type: string \"often\"",
    ] {
        assert!(said.contains(mistake), "{mistake:?} is not among:\n{said}");
    }
}

#[test]
fn numbers_beyond_what_can_be_driven() {
    insta::assert_snapshot!(
        said("measure_s = 30", "measure_s = 1e300"),
        @"w.toml:2: `measure_s` is 1e300: it must be at most 86400"
    );
    insta::assert_snapshot!(
        said("timeout_ms = 500", "timeout_ms = 18446744073709551615"),
        @"w.toml:36: `timeout_ms` is 18446744073709551615: it must be at most 3600000 (an hour)"
    );
}

/// What is not written has a value that makes sense.
#[test]
fn a_file_of_a_few_lines_is_enough() {
    let text = "[endpoints.page]\npath = \"/\"\n[journeys.visit]\nsteps = [{ endpoint = \"page\" }]\n";
    let workload = Workload::parse("shop.toml".as_ref(), text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((workload.name.as_str(), workload.journeys[0].weight), ("shop", 1));
    assert!(workload.models.closed.is_none() && workload.models.open.is_none());
    let (full, quick) = (workload.schedule(false), workload.schedule(true));
    assert_eq!(
        (full.warm_up_s, full.measure_s, full.drain_s, full.blocks),
        (5.0, 30.0, 10.0, 5)
    );
    assert_eq!(
        (quick.warm_up_s, quick.measure_s, quick.drain_s, quick.blocks),
        (2.0, 5.0, 10.0, 2)
    );
    assert!((workload.warm_up_think_scale - 1.0).abs() < f64::EPSILON);
    let short = Workload::parse("shop.toml".as_ref(), &format!("measure_s = 1\n{text}"));
    assert!((short.expect("valid").schedule(true).measure_s - 1.0).abs() < f64::EPSILON);
}

#[test]
fn several_mistakes_come_in_the_order_of_the_file() {
    let text = edited(&edited(&valid(), "users = 100", "users = 0"), "\"/trips\"", "\"trips\"");
    let text = edited(&text, "endpoint = \"upload\"", "endpoint = \"uplod\"");
    insta::assert_snapshot!(refused(&text), @r"
    w.toml:6: `users` is 0: it must be 1 or more
    w.toml:32: path `trips` must start with a slash
    w.toml:41: unknown endpoint `uplod`; did you mean `upload`?
    ");
}

#[test]
fn text_that_is_no_toml_and_files_that_are_not_there() {
    insta::assert_snapshot!(
        said("users = 100", "users = "),
        @"w.toml:6: string values must be quoted, expected literal string"
    );
    insta::assert_snapshot!(
        said("users = 100", "users = \"many\""),
        @r#"w.toml:6: invalid type: string "many", expected a whole number from 0 to 4294967295"#
    );
    insta::assert_snapshot!(
        said("weight = 3", "weight = 2.5"),
        @"w.toml:38: invalid type: floating point `2.5`, expected a whole number from 0 to 4294967295"
    );
    insta::assert_snapshot!(
        said("drain_s = 5", "drain_s = true"),
        @"w.toml:3: invalid type: boolean `true`, expected a number"
    );
    insta::assert_snapshot!(
        said("expect_status = [201]", "expect_status = 201"),
        @"w.toml:34: invalid type: integer `201`, expected a list in brackets"
    );
    insta::assert_snapshot!(said("[feeders.km]", "[feeders.km"), @"w.toml:22: unclosed table, expected `]`");
    insta::assert_snapshot!(said("users = 100\n", ""), @"w.toml:5: missing key `users`");
    let error = Workload::load("no/such/file.toml".as_ref()).unwrap_err();
    insta::assert_snapshot!(error, @"no/such/file.toml: cannot be read: No such file or directory (os error 2)");
}
