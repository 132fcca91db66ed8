//! nginx, which nobody here wrote: TLS 1.2 and 1.3, sessions, HTTP/2, limits of keep-alive, compression.

use std::{fs, process::Command};

use load::{Protocol, Target, TlsSettings};
use scenarios::{HttpVersion, Workload};
use tempfile::TempDir;

use crate::{
    kit::{MODELS, Program, assert_all_answered, connections, counted, drive, page, workload, workload_of},
    pki::{HOST, Pki},
};

/// Requests that nginx answers on a connection that it soon ends.
const FEW: u64 = 5;

/// One server that listens in several ways.
struct Nginx {
    program: Program,
    pki: Pki,
    _dir: TempDir,
}

/// Ports by what they speak, in the order of the configuration.
#[derive(Clone, Copy)]
enum Port {
    /// HTTP/1.1 in plain text.
    Plain,
    /// TLS 1.3 with both protocols.
    Both,
    /// TLS 1.2, HTTP/1.1 alone.
    Old,
    /// HTTP/2 in plain text.
    PriorKnowledge,
    /// TLS 1.3 that ends connections after a few requests.
    Few,
    /// HTTP/2 with few streams at once, of answers that take a while.
    Narrow,
    /// Asks for a certificate.
    Strict,
    /// HTTP/2 that ends connections after a few requests.
    FewFrames,
}

const PORTS: usize = 8;

impl Nginx {
    async fn start() -> Self {
        let (pki, dir) = (Pki::new(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name).display().to_string();
        let file = dir.path().join("nginx.conf");
        let command = |ports: &[u16]| {
            fs::write(&file, configuration(ports, &pki, &at)).unwrap();
            let mut command = Command::new("/usr/sbin/nginx");
            command
                .arg("-c")
                .arg(&file)
                .arg("-e")
                .arg(at("error.log"))
                .arg("-p")
                .arg(dir.path());
            command
        };
        assert!(
            std::path::Path::new("/usr/sbin/nginx").exists(),
            "nginx is missing: install it with `apt-get install nginx-light`"
        );
        let program = Program::start(PORTS, &dir.path().join("log"), command).await;
        Self {
            program,
            pki,
            _dir: dir,
        }
    }

    fn plain(&self, port: Port) -> Target {
        self.program.target(port as usize, HOST)
    }

    async fn encrypted(&self, port: Port, version: HttpVersion) -> Target {
        self.pki.encrypted(self.plain(port)).settle(version).await.unwrap()
    }
}

fn configuration(ports: &[u16], pki: &Pki, at: &dyn Fn(&str) -> String) -> String {
    let listen = |port: Port, more: &str| format!("listen 127.0.0.1:{}{more};", ports[port as usize]);
    let small = "location / { return 200 \"answer\"; }";
    let limited = format!("keepalive_requests {FEW}; {small}");
    let [plain, both, old, prior, few, narrow, strict, few_frames] = [
        listen(Port::Plain, "") + small,
        listen(Port::Both, " ssl http2") + "ssl_protocols TLSv1.3;" + small,
        listen(Port::Old, " ssl") + "ssl_protocols TLSv1.2;" + small,
        listen(Port::PriorKnowledge, " http2") + small,
        listen(Port::Few, " ssl") + "ssl_protocols TLSv1.3;" + &limited,
        listen(Port::Narrow, " http2")
            + "http2_max_concurrent_streams 1; location / { limit_rate 20k; root .; try_files /body =404; }",
        listen(Port::Strict, " ssl")
            + "ssl_verify_client on; ssl_client_certificate "
            + &pki_file(pki, "ca.pem")
            + ";"
            + small,
        listen(Port::FewFrames, " http2") + &limited,
    ];
    let servers = [plain, both, old, prior, few, narrow, strict, few_frames];
    let servers = servers.map(|server| format!("server {{ {server} }}\n")).concat();
    fs::write(at("body"), vec![b'x'; 2_000]).unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary
        .map(|what| format!("{what}_temp_path {};\n", at(what)))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {};\nerror_log {};\nevents {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\ndefault_type text/plain;\n{temporary}ssl_certificate {};\nssl_certificate_key {};\n\
         {servers}}}\n",
        at("pid"),
        at("error.log"),
        pki_file(pki, "server.pem"),
        pki_file(pki, "server.key"),
    )
}

fn pki_file(pki: &Pki, name: &str) -> String {
    pki.file(name).display().to_string()
}

fn visits() -> Workload {
    workload(&page("path = \"/\"\nexpect_text = \"answer\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_costs_one_handshake() {
    let nginx = Nginx::start().await;
    for (port, version) in [(Port::Both, "TLSv1.3 TLS_"), (Port::Old, "TLSv1.2 TLS_ECDHE_")] {
        let target = nginx.encrypted(port, HttpVersion::One).await;
        let report = drive(visits(), "closed", target).await;
        assert_all_answered(&report);
        let made = connections(&report);
        assert_eq!(
            (made.opened, made.full_handshakes, made.resumed_handshakes),
            (2, 2, 0),
            "{version}"
        );
        let transport = &report.transport;
        assert_eq!(
            (transport.protocol.as_str(), transport.is_insecure),
            ("HTTP/1.1", false)
        );
        let tls = transport.tls.as_deref().unwrap();
        assert!(tls.starts_with(version), "{tls}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_connections_are_counted_too() {
    let nginx = Nginx::start().await;
    for model in MODELS {
        let report = drive(visits(), model, nginx.plain(Port::Plain)).await;
        assert_all_answered(&report);
        let made = connections(&report);
        assert!(
            made.opened > 0 && made.full_handshakes + made.resumed_handshakes == 0,
            "{made:?}"
        );
        assert_eq!(report.transport.tls, None);
    }
}

/// Each user resumes its own sessions: the first handshake of each is a full one.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_comes_back_resumes_its_own_session() {
    let nginx = Nginx::start().await;
    let target = nginx.encrypted(Port::Few, HttpVersion::One).await;
    let report = drive(visits(), "closed", target).await;
    let found = assert_all_answered(&report);
    let made = connections(&report);
    assert_eq!(made.full_handshakes, 2, "{made:?}");
    assert_eq!(made.opened, made.full_handshakes + made.resumed_handshakes);
    assert!(made.opened >= found.requests() / FEW, "{made:?} for {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_chooses_the_protocol_unless_it_is_said() {
    let nginx = Nginx::start().await;
    for (version, protocol) in [
        (HttpVersion::Auto, Protocol::Http2),
        (HttpVersion::Two, Protocol::Http2),
        (HttpVersion::One, Protocol::Http1),
    ] {
        assert_eq!(nginx.encrypted(Port::Both, version).await.protocol, protocol);
    }
    assert_eq!(
        nginx.encrypted(Port::Old, HttpVersion::Auto).await.protocol,
        Protocol::Http1
    );
    let refused = nginx
        .pki
        .encrypted(nginx.plain(Port::Old))
        .settle(HttpVersion::Two)
        .await;
    let said = refused.unwrap_err();
    assert!(
        said.contains("HTTP/2") || said.contains("NoApplicationProtocol"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_spoken_encrypted_and_by_prior_knowledge() {
    let nginx = Nginx::start().await;
    let prior = "[http]\nversion = \"2\"\n".to_owned() + &page("path = \"/\"\nexpect_text = \"answer\"");
    for model in MODELS {
        let encrypted = nginx.encrypted(Port::Both, HttpVersion::Auto).await;
        for (workload, target) in [
            (visits(), encrypted),
            (workload(&prior), nginx.plain(Port::PriorKnowledge)),
        ] {
            let report = drive(workload, model, target).await;
            assert_all_answered(&report);
            assert_eq!(report.transport.protocol, "HTTP/2", "{model}");
            assert!(connections(&report).opened > 0, "{model}");
        }
    }
}

/// It says that it goes away, and answers what it took before: nothing fails, whatever the method.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_politely_loses_no_request() {
    let nginx = Nginx::start().await;
    for method in ["GET", "POST"] {
        let prior = format!(
            "[http]\nversion = \"2\"\n{}",
            page(&format!("path = \"/\"\nmethod = \"{method}\""))
        );
        let report = drive(workload(&prior), "closed", nginx.plain(Port::FewFrames)).await;
        let found = assert_all_answered(&report);
        assert!(connections(&report).opened >= found.requests() / FEW, "{method}");
    }
}

/// Four slots on one connection, of which the server serves one at a time: the others wait on our side, and that is
/// counted apart.
#[tokio::test(flavor = "multi_thread")]
async fn streams_share_a_connection_and_waits_for_them_stand_apart() {
    let nginx = Nginx::start().await;
    let tables = "[http]\nversion = \"2\"\nstreams = 4\n".to_owned() + &page("path = \"/\"");
    let narrow = workload_of("", "connections = 1", &tables);
    let report = drive(narrow, "open", nginx.plain(Port::Narrow)).await;
    let (found, made) = (counted(&report), connections(&report));
    assert_eq!(made.opened, 1, "{made:?}");
    assert!(found.answers > 0 && made.stream_waits > 0, "{found:?} {made:?}");
    assert_eq!(report.transport.streams, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_only_where_somebody_vouches_for_it() {
    let nginx = Nginx::start().await;
    let with = |settings: &TlsSettings| Target {
        tls: Some(load::Tls::new(settings, HOST).unwrap()),
        ..nginx.plain(Port::Both)
    };
    let unknown = with(&TlsSettings::default())
        .settle(HttpVersion::Auto)
        .await
        .unwrap_err();
    assert!(
        unknown.contains("--cacert FILE") && unknown.contains("--insecure"),
        "{unknown}"
    );
    let careless = TlsSettings {
        is_insecure: true,
        ..TlsSettings::default()
    };
    let target = with(&careless).settle(HttpVersion::Auto).await.unwrap();
    let report = drive(visits(), "closed", target).await;
    assert_all_answered(&report);
    assert!(report.transport.is_insecure);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let nginx = Nginx::start().await;
    let with = async |settings: TlsSettings| {
        let target = Target {
            tls: Some(load::Tls::new(&settings, HOST).unwrap()),
            ..nginx.plain(Port::Strict)
        };
        let target = target.settle(HttpVersion::One).await.unwrap();
        drive(visits(), "closed", target).await
    };
    let nobody = with(nginx.pki.settings()).await;
    let found = counted(&nobody);
    assert!(found.answers == 0 && found.failures.status > 0, "{found:?}");
    let somebody = with(TlsSettings {
        certificate: Some(nginx.pki.file("client.pem")),
        key: Some(nginx.pki.file("client.key")),
        ..nginx.pki.settings()
    })
    .await;
    assert_all_answered(&somebody);
    assert!(somebody.transport.has_client_certificate);
}

#[test]
fn files_of_certificates_that_are_none_are_named() {
    let pki = Pki::new();
    let said = |settings: TlsSettings| load::Tls::new(&settings, HOST).unwrap_err().to_string();
    let no_certificate = said(TlsSettings {
        authorities: Some(pki.file("server.key")),
        ..TlsSettings::default()
    });
    assert!(
        no_certificate.contains("server.key") && no_certificate.contains("no certificate"),
        "{no_certificate}"
    );
    let no_key = said(TlsSettings {
        certificate: Some(pki.file("client.pem")),
        ..pki.settings()
    });
    assert!(no_key.contains("--key FILE"), "{no_key}");
    let absent = said(TlsSettings {
        authorities: Some(pki.path().join("absent.pem")),
        ..TlsSettings::default()
    });
    assert!(absent.contains("absent.pem"), "{absent}");
}
