//! What a workload says of HTTP: version and streams, credentials, the environment, bodies of every kind, what is
//! expected of texts and taken from them.

mod support;

use scenarios::testing::{WorkloadText, body_text, edited};
use scenarios::{Body, HttpVersion, Place, Workload};
use support::refusal;

/// One user who logs in and uploads.
const LOGIN: WorkloadText<'_> = WorkloadText {
    name: "login",
    measure_s: 1.0,
    drain_s: 1.0,
    blocks: 1,
    model: "[model.closed]\nusers = 1\nramp_s = 0\n",
    warm_up: "duration_s = 1\nthink_time_scale = 1\n",
    quick: "warm_up_s = 1\nmeasure_s = 1\nblocks = 1\n",
    rest: r#"[http]
version = "2"
streams = 8
bearer = "{token}"
[setup.token]
method = "POST"
path = "/token"
body_form = { user = "ann", password = "{env.CARGO_PKG_NAME} x" }
extract = { token = { header = "x-token", regex = "[a-z]+" } }
[endpoints.upload]
method = "PUT"
path = "/files"
body_multipart = { note = "of {token}", data = { file = "data.bin", type = "image/png" } }
expect_text = "stored {token}"
expect_regex = '^\w+'
expect_bytes = { min = 1, max = 100 }
[endpoints.next]
path = "{next}"
headers = { authorization = "none" }
[journeys.visit]
steps = [
    { endpoint = "upload", extract = { next = { regex = 'href="([^"]+)"' } } },
    { endpoint = "next" },
]
"#,
};

const DATA: &[(&str, &str)] = &[("data.bin", "bytes")];

fn load(text: &str) -> Workload {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, content) in DATA {
        std::fs::write(directory.path().join(name), content).expect("a writable directory");
    }
    Workload::parse(&directory.path().join("w.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// What is said of the workload with `from` replaced by `to`.
fn said(from: &str, to: &str) -> String {
    refusal(&edited(&LOGIN.to_string(), from, to), DATA, |file| {
        Workload::load(file).map(|_| ())
    })
}

/// A body with the value `T` for every variable.
fn rendered(workload: &Workload, body: &Body) -> String {
    let mut vars = workload.new_vars();
    for extract in workload.setup.iter().flat_map(|setup| &setup.extract) {
        vars.set(extract.slot, "T".into());
    }
    body_text(body, &vars)
}

#[test]
fn every_part_is_read() {
    let workload = load(&LOGIN.to_string());
    assert_eq!((workload.http.version, workload.http.streams), (HttpVersion::Two, 8));
    let setup = &workload.setup[0];
    assert_eq!(setup.extract[0].from, Place::Header("x-token".to_owned()));
    assert!(
        setup.request.headers.iter().all(|(name, _)| name != "authorization"),
        "it fetches the token"
    );
    let form = rendered(&workload, setup.request.body.as_ref().expect("a body"));
    assert_eq!(form, "user=ann&password=scenarios%20x");
    let upload = &workload.endpoints[0];
    let header = |name: &str| {
        let found = upload.headers.iter().find(|(header, _)| header == name);
        let mut text = String::new();
        found.expect("the header").1.render(&workload.new_vars(), &mut text);
        text
    };
    assert_eq!(header("authorization"), "Bearer null");
    let boundary = header("content-type");
    let boundary = boundary
        .strip_prefix("multipart/form-data; boundary=")
        .expect("a boundary");
    let body = rendered(&workload, upload.body.as_ref().expect("a body"));
    let expected = "--B\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nof T\r\n--B\r\n\
                    content-disposition: form-data; name=\"data\"; filename=\"data.bin\"\r\n\
                    content-type: image/png\r\n\r\nbytes\r\n--B--\r\n";
    assert_eq!(body.replace(boundary, "B"), expected);
    let own = &workload.endpoints[1].headers;
    assert_eq!(
        own.len(),
        1,
        "a header of the request goes before the credentials: {own:?}"
    );
}

#[test]
fn a_file_that_is_sent_is_part_of_the_workloads_identity() {
    let text = LOGIN.to_string();
    let (one, other) = (
        load(&text),
        load(&edited(&text, "type = \"image/png\"", "type = \"image/gif\"")),
    );
    assert_ne!(one.sha256, other.sha256);
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("data.bin"), "other bytes").expect("a writable directory");
    let changed = Workload::parse(&directory.path().join("w.toml"), &text).expect("a workload");
    assert_ne!(one.sha256, changed.sha256);
}

#[test]
fn what_the_environment_gave_is_concealed() {
    let workload = load(&LOGIN.to_string());
    assert_eq!(
        workload.secrets.conceal("it said scenarios".to_owned()),
        "it said {env.CARGO_PKG_NAME}"
    );
}

#[test]
fn mistakes_name_what_to_write() {
    for (from, to, expected) in [
        (
            "{env.CARGO_PKG_NAME}",
            "{env.NO_SUCH_VARIABLE_HERE}",
            "w.toml:22: the environment has no variable `NO_SUCH_VARIABLE_HERE`; set it: `export \
             NO_SUCH_VARIABLE_HERE=...`",
        ),
        (
            "version = \"2\"",
            "version = \"2.0\"",
            "w.toml:16: unknown name `2.0`; valid here, nearest first: `1.1`, `2`, `auto`",
        ),
        (
            "streams = 8",
            "streams = 0",
            "w.toml:17: `streams` is 0: it must be 1 or more",
        ),
        (
            "streams = 8",
            "streams = 5000",
            "w.toml:17: `streams` is 5000: it must be at most 1000",
        ),
        (
            "bearer = \"{token}\"",
            "berer = \"{token}\"",
            "w.toml:18: unknown key `berer`; did you mean `bearer`?",
        ),
        (
            "bearer = \"{token}\"",
            "bearer = \"{tokn}\"",
            "w.toml:18: unknown variable `tokn`; did you mean `token`?",
        ),
        (
            "bearer = ",
            "basic = { user = \"a\", password = \"b\" }\nbearer = ",
            "w.toml:19: `bearer` and `basic` both give the header `authorization`; give one of them",
        ),
        (
            "bearer = \"{token}\"",
            "basic = { user = \"a:b\", password = \"{token}\" }",
            "w.toml:18: a user of basic credentials cannot have a colon in its name\nw.toml:18: `token` is not \
             known before the load: basic credentials are fixed; write the text, `{env.NAME}`, or an \
             `authorization` header of the request",
        ),
        (
            "body_form = {",
            "body = { a = 1 }\nbody_form = {",
            "w.toml:23: `body_form` and `body`: a request has one body",
        ),
        (
            "user = \"ann\"",
            "user = [1]",
            "w.toml:22: a field of a form is a text, number or boolean; write its parts as fields of their own",
        ),
        (
            "file = \"data.bin\"",
            "file = \"absent.bin\"",
            "w.toml:27: cannot read absent.bin: No such file or directory (os error 2); the path is relative \
             to this file",
        ),
        (
            "file = \"data.bin\"",
            "fil = \"data.bin\"",
            "w.toml:27: unknown key `fil`; did you mean `file`?",
        ),
        (
            "header = \"x-token\"",
            "header = \"x-token\", cookie = \"token\"",
            "w.toml:23: variable `token` must come from one place; give one of `json`, `header` and `cookie`, \
             a `regex`, or one of them with a `regex`",
        ),
        (
            "header = \"x-token\"",
            "heeder = \"x-token\"",
            "w.toml:23: unknown key `heeder`; did you mean `header`?",
        ),
        (
            "regex = \"[a-z]+\"",
            "regex = \"[a-z+\"",
            "w.toml:23: `[a-z+` is no regular expression: unclosed character class",
        ),
        (
            "min = 1, max = 100",
            "min = 100, max = 1",
            "w.toml:30: `expect_bytes` asks for at least 100 and at most 1 bytes",
        ),
        (
            "min = 1, max = 100",
            "minimum = 1",
            "w.toml:30: unknown key `minimum`; valid here, nearest first: `min`, `max`\nw.toml:30: \
             `expect_bytes` asks for nothing: give `min`, `max` or both",
        ),
        (
            r"'^\w+'",
            "'('",
            "w.toml:29: `(` is no regular expression: unclosed group",
        ),
    ] {
        assert_eq!(said(from, to), expected);
    }
}
