//! Go's own server, which nobody here wrote: another TLS, another HTTP/2.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use load::{Protocol, Target};
use scenarios::HttpVersion;
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};

use crate::{
    kit::{MODELS, assert_all_answered, connections, drive, page, workload},
    pki::{HOST, Pki},
};

/// Longer than Go takes to build its library for the first time.
const START: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn it_is_understood_in_both_protocols() {
    let pki = Pki::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/serve.go");
    let mut command = Command::new("go");
    command
        .arg("run")
        .arg(script)
        .args([pki.file("server.pem"), pki.file("server.key")]);
    let process = Supervised::spawn(command, Output::Lines { errors: None }, Ending::default());
    let mut process = process.expect("go runs: install it with `apt-get install golang-go`");
    let port = |line: &str| line.strip_prefix("listening on ")?.parse::<u16>().ok();
    let port = process.line(&Patience::new(START), port).await.unwrap();
    let server = Target::named(vec![SocketAddr::from(([127, 0, 0, 1], port))], format!("{HOST}:{port}"));
    for (version, protocol, said) in [
        (HttpVersion::Auto, Protocol::Http2, "HTTP/2.0 POST 7"),
        (HttpVersion::One, Protocol::Http1, "HTTP/1.1 POST 7"),
    ] {
        let target = pki.encrypted(server.clone()).settle(version).await.unwrap();
        assert_eq!(target.protocol, protocol);
        let posts = page(&format!(
            "path = \"/\"\nmethod = \"POST\"\nbody = {{ a = 1 }}\nexpect_text = \"{said}\""
        ));
        for model in MODELS {
            let report = drive(workload(&posts), model, target.clone()).await;
            assert_all_answered(&report);
            let made = connections(&report);
            assert_eq!(made.opened, made.full_handshakes, "connections are kept: {made:?}");
        }
    }
}
