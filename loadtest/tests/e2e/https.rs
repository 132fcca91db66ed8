//! A service over https whose certificate only the test vouches for.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use measure::record::Record;

use crate::support::{Finished, Workplace, check, data, said};

/// Name on the certificate; it stands for no address.
const HOST: &str = "shop.invalid";

/// Node's server with a certificate that signs itself, until it is dropped.
struct Secure {
    child: Child,
    port: u16,
    certificate: String,
}

impl Secure {
    /// Its files lie in the directory of the test.
    fn start(place: &Workplace) -> Self {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| place.path(name).to_str().unwrap().to_owned());
        let (subject, names) = (format!("/CN={HOST}"), format!("subjectAltName=DNS:{HOST},IP:127.0.0.1"));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let signed = ["-x509", "-days", "2", "-subj", &subject, "-addext", &names];
        // A server's own; webpki takes no authority's certificate for one.
        let own = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let made = Command::new("openssl")
            .args(
                [
                    &["req"],
                    &curve[..],
                    &signed,
                    &own,
                    &["-keyout", &key, "-out", &certificate],
                ]
                .concat(),
            )
            .output()
            .expect("openssl runs: install it with `apt-get install openssl`");
        assert!(made.status.success(), "{}", said(&made));
        let mut child = Command::new("node")
            .args([data("https.mjs").to_str().unwrap(), &certificate, &key])
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs: install it with `apt-get install nodejs`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
        Self {
            child,
            port,
            certificate,
        }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two users for a second, with further words.
fn run(place: &Workplace, words: &[&str]) -> Finished {
    let load = [
        "run",
        "--users",
        "2",
        "--for",
        "1s",
        "--out",
        place.out().to_str().unwrap(),
    ]
    .map(str::to_owned);
    let words: Vec<String> = load.into_iter().chain(words.iter().map(ToString::to_string)).collect();
    place.loadtest(&words).finish()
}

fn assert_well(record: &Record, finished: &Finished) {
    assert!(check(record, "few errors").ok, "{}", finished.text);
    let transport = record.rounds[0].transport.as_ref().unwrap();
    assert_eq!(transport.protocol, "HTTP/1.1");
    assert!(
        transport.tls.as_ref().is_some_and(|tls| tls.starts_with("TLSv1.3")),
        "{transport:?}"
    );
    let phases = record.rounds[0]
        .phases
        .iter()
        .filter_map(|phase| phase.connections.as_ref());
    let handshakes: u64 = phases.map(|of| of.full_handshakes + of.resumed_handshakes).sum();
    assert!(handshakes >= 2, "a handshake of each user: {handshakes}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_with_advice() {
    let place = Workplace::new();
    let server = Secure::start(&place);
    let finished = run(&place, &[&format!("https://127.0.0.1:{}/api/page", server.port)]);
    finished.assert_code(3);
    finished.assert_says("--cacert FILE, or believe anybody with --insecure");
}

#[test]
fn a_certificate_that_is_given_is_believed() {
    let place = Workplace::new();
    let server = Secure::start(&place);
    let (url, detour) = (
        format!("https://{HOST}/api/page"),
        format!("{HOST}:443:127.0.0.1:{}", server.port),
    );
    let finished = run(
        &place,
        &[&url, "--connect-to", &detour, "--cacert", &server.certificate],
    );
    let record = place.record();
    assert_well(&record, &finished);
    assert!(!record.rounds[0].transport.as_ref().unwrap().is_insecure);
    assert_eq!(record.subjects[0].name, HOST);
}

/// With a base path before that of the request.
#[test]
fn who_believes_anybody_is_told_so_in_the_record() {
    let place = Workplace::new();
    let server = Secure::start(&place);
    let subject = format!("url:https://127.0.0.1:{}/api", server.port);
    let finished = run(&place, &["--subject", &subject, "--path", "/page", "--insecure"]);
    let record = place.record();
    assert_well(&record, &finished);
    assert!(record.rounds[0].transport.as_ref().unwrap().is_insecure);
    let page = std::fs::read_to_string(place.out().join("report.html")).unwrap();
    assert!(page.contains("not verified"), "the report says it, too");
}
