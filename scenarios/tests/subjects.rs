//! Subject files: what the parts of one become, and each way in which one can be wrong, refused with file, line and
//! what to write instead.

mod support;

use std::path::Path;

use scenarios::{Need, Placeholder, Quotient, ServerRun, Service, StopSignal};
use support::refusal;

/// Uses every part of the format.
const WHOLE: &str = r#"name = "shop"
start = ".venv/bin/uvicorn app:app --port {port} --root '{data}/a b'"
needs = ["postgres", "kafka"]
metrics_path = "/metrics"
image_port = 8000
ready = { line = "ready at http://{address}", path = "/ready", status = 204, within_s = 9 }
stop = { signal = "INT", within_s = 3 }
[build]
directory = "services/shop"
commands = ["make -C {dir} CACHE={cache}"]
keep = ["out", "{cache}/lib"]
built = "{harness}"
version = "./shop --version"
[dataset]
commands = ["psql {postgres.url} -f schema.sql"]
[environment]
DATABASE_URL = "{postgres.url}"
SETTINGS = '{{"brokers": "{kafka.brokers}", "topic": "{topic}", "queue": "{rabbit.host}:{rabbit.port}"}}'
LOG = "warn"
[servers.rabbit]
command = "rabbitmq-server --port {port} --dir {data}"
environment = { NODE = "one" }
ready = { within_s = 90 }
[servers.mysql]
image = "mysql:8.4"
port = 3306
[profiles]
plain = {}
cached = { CACHE = "on" }
[features.cache]
what = "answers kept"
off = { CACHE = "off" }
[metrics]
"cache.hit_ratio" = { part = 'hits{tier="l1"}', rest = "misses" }
"#;

/// The smallest one.
const SMALL: &str = "start = \"./shop --port {port}\"\n";

fn parsed(text: &str) -> Service {
    Service::parse(Path::new("dir/shop.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// What is said of a text that is no valid subject file.
fn refused(text: &str) -> String {
    refusal(text, &[], |file| Service::load(file).map(|_| ()))
}

/// What is said of the whole file with another text in one place.
fn refused_with(part: &str, other: &str) -> String {
    assert!(WHOLE.contains(part), "{part}");
    refused(&WHOLE.replace(part, other))
}

/// Every place by its own name.
#[expect(clippy::unnecessary_wraps, reason = "what a launch gives may be nothing")]
fn named(place: Placeholder) -> Option<String> {
    Some(format!("<{place}>"))
}

#[test]
fn every_part_of_a_file_becomes_what_it_says() {
    let shop = parsed(WHOLE);
    assert_eq!(shop.name, "shop");
    assert_eq!(
        shop.start.fill(&named).unwrap(),
        [
            ".venv/bin/uvicorn",
            "app:app",
            "--port",
            "<{port}>",
            "--root",
            "<{data}>/a b"
        ]
    );
    assert_eq!(shop.needs, [Need::Postgres, Need::Kafka]);
    assert_eq!(
        (shop.ready.path.as_deref(), shop.ready.status),
        (Some("/ready"), Some(204))
    );
    let line = shop.ready.line.as_ref().unwrap();
    assert_eq!((line.text.as_str(), line.has_address), ("ready at http://", true));
    assert_eq!(shop.stop.signal, StopSignal::Int);
    assert_eq!(shop.build.directory, Path::new("services/shop"));
    assert_eq!(
        shop.build.commands[0].fill(&named).unwrap(),
        ["make", "-C", "<{dir}>", "CACHE=<{cache}>"]
    );
    assert_eq!(shop.build.keep[1].fill(&named).unwrap(), "<{cache}>/lib");
    let settings = shop.environment.iter().find(|(name, _)| name == "SETTINGS").unwrap();
    assert_eq!(
        settings.1.fill(&named).unwrap(),
        r#"{"brokers": "<{kafka.brokers}>", "topic": "<{topic}>", "queue": "<{NAME.port}>:<{NAME.port}>"}"#
    );
    assert!(matches!(&shop.servers[0].run, ServerRun::Command(command) if command.shown.starts_with("rabbitmq")));
    assert!(matches!(&shop.servers[1].run, ServerRun::Image { image, port: 3306 } if image == "mysql:8.4"));
    assert_eq!(shop.profile("cached").unwrap()["CACHE"], "on");
    assert_eq!(shop.features[0].off["CACHE"], "off");
    let counted: Vec<&str> = shop.quotients.iter().map(|quotient| quotient.metric.name()).collect();
    assert_eq!(counted, ["cache.hit_ratio"]);
    assert!(
        shop.gives("DATABASE_URL") && !shop.gives("LOG"),
        "a constant is anybody's to set"
    );
}

#[test]
fn a_file_of_one_line_has_a_default_for_everything_else() {
    let shop = parsed(SMALL);
    assert_eq!(shop.name, "shop", "that of the file");
    assert!(shop.needs.is_empty() && shop.dataset.is_empty() && shop.build.commands.is_empty());
    assert_eq!(
        (shop.ready.line, shop.ready.path, shop.ready.within_s),
        (None, None, 60.0)
    );
    assert_eq!((shop.stop.signal, shop.stop.within_s), (StopSignal::Term, 15.0));
    assert_eq!(shop.quotients, [Quotient::cache_hits()]);
}

#[test]
fn a_place_without_a_value_is_named() {
    let without_port = |place| (place != Placeholder::Port).then(String::new);
    assert_eq!(parsed(SMALL).start.fill(&without_port), Err(Placeholder::Port));
}

#[test]
fn a_profile_that_is_not_there_is_answered_with_the_nearest() {
    let shop = parsed(WHOLE);
    assert_eq!(
        shop.profile("cahced").unwrap_err(),
        "shop has no profile `cahced`; did you mean `cached`?"
    );
    assert!(
        parsed(SMALL)
            .profile("x")
            .unwrap_err()
            .ends_with("its file has no [profiles.NAME]")
    );
}

/// The one that is built into the commands is the file that stands there, with the profiles of docs/SERVICE.md.
#[test]
fn the_shipped_file_is_that_of_the_reference_service() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("subjects/insurance-service.toml");
    let service = Service::load(&file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(service, Service::shipped());
    let profiles: Vec<&str> = service.profiles.keys().map(String::as_str).collect();
    assert_eq!(profiles, ["phase1", "phase2", "planned"]);
    let features: Vec<&str> = service.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(
        features,
        [
            "endpoint cache",
            "cache protocol",
            "cache warming",
            "tuned queries",
            "Kafka batching",
            "Kafka compression",
            "Protobuf events",
            "tuned consumer",
            "live filtering",
            "live batching",
            "live dedupe"
        ]
    );
    // A launch's own cache and topic have no part in the data set that all launches share.
    let of_dataset = service
        .environment
        .iter()
        .filter(|(_, value)| !value.places().any(Placeholder::is_of_a_launch));
    let names: Vec<&str> = of_dataset.map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["DATABASE_URL", "RUST_LOG"]);
}

#[test]
fn all_mistakes_are_said_at_once() {
    let text = "start = \"./shop {prot}\"\nneeds = [\"postgre\"]\nmetrics_paht = \"/m\"\n[build]\ncomands = []\n";
    assert_eq!(
        refused(text),
        "w.toml:1: unknown placeholder `prot`; did you mean `port`?\n\
         w.toml:1: nobody knows where it listens; use {port} in `start` or in a variable, or say in `ready` that it \
         prints its address: line = \"listening on http://{address}\"\n\
         w.toml:2: unknown name `postgre`; did you mean `postgres`?\n\
         w.toml:3: unknown key `metrics_paht`; did you mean `metrics_path`?\n\
         w.toml:5: unknown key `comands`; did you mean `commands`?"
    );
}

#[test]
fn what_a_command_cannot_be_is_refused() {
    let says = |command: &str| refused(&SMALL.replace("./shop --port {port}", command));
    assert!(says("").starts_with("w.toml:1: a command is empty"));
    assert!(says("./shop '{port}").contains("has a quote without its other half"));
    assert!(says("./shop {port").contains("has a brace without its other half; write {{ and }}"));
    assert!(
        says("cd x && ./shop {port}").contains("so that `&&` would be an argument; give several commands as a list")
    );
}

#[test]
fn what_is_not_there_at_that_moment_is_no_place() {
    let build = refused_with("make -C {dir}", "make -C {port}");
    assert!(
        build.starts_with("w.toml:10: a build knows no placeholder but"),
        "{build}"
    );
    let dataset = refused_with("psql {postgres.url}", "psql {topic}");
    assert!(
        dataset.contains("w.toml:15: this has a placeholder that every launch has another value for"),
        "{dataset}"
    );
    let server = refused_with("--dir {data}", "--dir {dir}");
    assert!(
        server.contains("w.toml:21: the command of a server knows no placeholder but"),
        "{server}"
    );
    let needs = refused_with("needs = [\"postgres\", \"kafka\"]", "needs = [\"postgres\"]");
    assert!(
        needs.contains("w.toml:18: this is about kafka, which `needs` does not name; add it: needs = [\"kafka\"]"),
        "{needs}"
    );
}

#[test]
fn a_server_is_one_thing_and_none_of_the_stack() {
    let both = refused_with("image = \"mysql:8.4\"", "image = \"mysql:8.4\"\ncommand = \"mysqld\"");
    assert!(
        both.contains("server `mysql` must give either `command` or `image`"),
        "{both}"
    );
    let known = refused(&format!(
        "{SMALL}[servers.redis]\ncommand = \"redis-server --port {{port}}\"\n"
    ));
    assert!(
        known.contains("`redis` is a server of the stack: name it in `needs`"),
        "{known}"
    );
    let no_port = refused_with("port = 3306\n", "");
    assert!(no_port.contains("an image needs its `port`"), "{no_port}");
}

#[test]
fn numbers_and_names_have_bounds() {
    for (part, other, says) in [
        (
            "status = 204",
            "status = 9",
            "`status` is 9: it must be from 100 to 599",
        ),
        ("path = \"/ready\", ", "", "`status` is that of an answer"),
        ("path = \"/ready\"", "path = \"ready\"", "must start with a slash"),
        (
            "204, within_s = 9 ",
            "204, within_s = 0 ",
            "`within_s` is 0: it must be above 0",
        ),
        ("\"INT\"", "\"TREM\"", "unknown name `TREM`; did you mean `TERM`?"),
        ("image_port = 8000", "image_port = 0", "`image_port` is 0"),
        ("\"services/shop\"", "\"../shop\"", "must be inside the repository"),
        (
            "ready at http://{address}",
            "{address}",
            "must have a text before {address}",
        ),
        (
            "off = { CACHE = \"off\" }",
            "off = {}",
            "`off` of `cache` names no variable",
        ),
        ("LOG = \"warn\"", "\"A=B\" = \"x\"", "`A=B` is no name of a variable"),
        (
            "cache.hit_ratio",
            "cache.hit_rate",
            "unknown metric `cache.hit_rate`; did you mean `cache.hit_ratio`?",
        ),
        (
            "cache.hit_ratio",
            "db.block_hit_ratio",
            "unknown metric `db.block_hit_ratio`",
        ),
        (
            "rest = \"misses\"",
            "rest = \"misses 3\"",
            "`misses 3` names no samples of a page in Prometheus' form",
        ),
        ("'hits{tier=\"l1\"}'", "'hits{tier}'", "`hits{tier}` names no samples"),
        (
            "rest = \"misses\"",
            "rest = \"misses\", of = \"all\"",
            "`cache.hit_ratio` must give exactly one of `of` and `rest`",
        ),
    ] {
        let said = refused_with(part, other);
        assert!(said.contains(says), "{other}: {said}");
    }
}
