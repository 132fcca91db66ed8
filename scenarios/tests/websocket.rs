//! Live streams in a workload: what is read of them, and what is said of mistakes.

mod support;

use std::path::Path;

use scenarios::testing::{WorkloadText, edited};
use scenarios::{Expected, LiveStream, Template, Vars, Workload};
use support::refusal;

/// Users who write notes, and screens that watch them.
const NOTES: WorkloadText<'_> = WorkloadText {
    name: "notes",
    measure_s: 1.0,
    drain_s: 1.0,
    blocks: 1,
    model: "[model.closed]\nusers = 1\nramp_s = 0\n",
    warm_up: "duration_s = 1\nthink_time_scale = 1\n",
    quick: "warm_up_s = 1\nmeasure_s = 1\nblocks = 1\n",
    rest: r#"[feeders]
driver = { sequence = { from = 7 } }
[endpoints.note]
method = "POST"
path = "/notes"
body = { driver = "{driver}" }
[journeys.write]
steps = [{ endpoint = "note", extract = { id = "/id" } }]
[websocket.screens]
path = "/live"
connections = 20
send = [{ type = "subscribe", drivers = ["{driver}"] }, "hello {driver}"]
send_again = [{ type = "subscribe", position = "{position}" }]
ready = { "/type" = "subscribed" }
watches = "{driver}"
messages = { each = "/events", id = "/id", position = "/position" }
[websocket.screens.follow]
note = { id = "{id}", about = "{driver}" }
"#,
};

fn said(from: &str, to: &str) -> String {
    refusal(&edited(&NOTES.to_string(), from, to), &[], |file| {
        Workload::load(file).map(|_| ())
    })
}

fn text(template: &Template, vars: &Vars) -> String {
    let mut text = String::new();
    template.render(vars, &mut text);
    text
}

#[test]
fn every_part_is_read() {
    let workload = Workload::parse(Path::new("w.toml"), &NOTES.to_string()).unwrap_or_else(|error| panic!("{error}"));
    let stream: &LiveStream = &workload.streams[0];
    assert_eq!(
        (stream.name.as_str(), stream.connections, stream.within_ms),
        ("screens", 20, 5_000)
    );
    assert!((stream.connect_per_s - 100.0).abs() < 1e-9);
    assert_eq!(stream.ready, [("/type".to_owned(), Expected::Is("subscribed".into()))]);
    assert_eq!(
        (stream.frames.each.as_deref(), stream.frames.id.as_str()),
        (Some("/events"), "/id")
    );
    let mut vars = workload.new_vars();
    let mut rng = rand::rng();
    workload.draw(&stream.feeders, &workload.new_sequences(), &mut rng, &mut vars);
    vars.set(stream.position_slot.unwrap(), "1.2".into());
    let said: Vec<String> = stream
        .send
        .iter()
        .chain(&stream.send_again)
        .map(|one| text(one, &vars))
        .collect();
    assert_eq!(
        said,
        [
            r#"{"type":"subscribe","drivers":[7]}"#,
            "hello 7",
            r#"{"type":"subscribe","position":"1.2"}"#
        ]
    );
    let follow = &stream.follows[0];
    assert_eq!(follow.endpoint, 0);
    assert_eq!(
        follow.about.as_ref().map(|about| text(about, &vars)).as_deref(),
        Some("7")
    );
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    insta::assert_snapshot!(
        said("note = { id", "notes = { id"),
        @"w.toml:32: unknown endpoint `notes`; did you mean `note`?"
    );
    assert_eq!(
        said(", position = \"/position\"", ""),
        "w.toml:27: `send_again` goes on from a position, and messages have none; say in `messages` where a frame has \
         it: `position = \"/...\"`"
    );
    insta::assert_snapshot!(
        said("each = \"/events\"", "each = \"events\""),
        @"w.toml:30: `events` is no JSON pointer: it must start with a slash, like `/events`"
    );
    insta::assert_snapshot!(
        said("connections = 20", "connections = 60000"),
        @"w.toml:25: `connections` is 60000: it must be at most 50000"
    );
    insta::assert_snapshot!(
        said("watches = \"{driver}\"", "watches = \"{drivers}\""),
        @"w.toml:29: unknown variable `drivers`; did you mean `driver`?"
    );
    let twice = NOTES.to_string().replace("[websocket.screens", "[websocket.note");
    insta::assert_snapshot!(
        refusal(&twice, &[], |file| Workload::load(file).map(|_| ())),
        @"w.toml:23: `note` is the name of something else that is counted: give the stream another"
    );
}
