//! nghttp2's own server, which nobody here wrote: HTTP/2 as the library behind curl and Apache speaks it.

use std::{fs, path::Path, process::Command};

use load::{Protocol, Target};
use scenarios::{HttpVersion, Workload};
use tempfile::TempDir;

use crate::{
    kit::{MODELS, Program, assert_all_answered, connections, drive, page, workload},
    pki::{HOST, Pki},
};

struct Nghttpd {
    program: Program,
    _dir: TempDir,
}

impl Nghttpd {
    /// Serves one file, encrypted where there are certificates.
    async fn start(pki: Option<&Pki>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("page"), "answer").unwrap();
        let command = |ports: &[u16]| {
            let mut command = Command::new("/usr/sbin/nghttpd");
            command.args(["-a", "127.0.0.1", "-d"]).arg(dir.path());
            match pki {
                Some(pki) => {
                    let files = [pki.file("server.key"), pki.file("server.pem")];
                    command.arg(ports[0].to_string()).args(files)
                }
                None => command.arg("--no-tls").arg(ports[0].to_string()),
            };
            command
        };
        assert!(
            Path::new("/usr/sbin/nghttpd").exists(),
            "nghttpd is missing: install it with `apt-get install nghttp2-server`"
        );
        let program = Program::start(1, &dir.path().join("log"), command).await;
        Self { program, _dir: dir }
    }

    fn target(&self) -> Target {
        self.program.target(0, HOST)
    }
}

fn visits(http: &str) -> Workload {
    let found = page("path = \"/page\"\nexpect_text = \"answer\"\nexpect_headers = { server = \"*\" }");
    workload(&format!("[http]\n{http}\n{found}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_understood_by_prior_knowledge_on_one_stream_and_on_several() {
    let nghttpd = Nghttpd::start(None).await;
    for model in MODELS {
        for streams in [1, 8] {
            let visits = visits(&format!("version = \"2\"\nstreams = {streams}"));
            let report = drive(visits, model, nghttpd.target()).await;
            assert_all_answered(&report);
            assert_eq!(
                (report.transport.protocol.as_str(), report.transport.streams),
                ("HTTP/2", streams)
            );
            assert!(connections(&report).opened > 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_understood_encrypted() {
    let pki = Pki::new();
    let nghttpd = Nghttpd::start(Some(&pki)).await;
    let target = pki.encrypted(nghttpd.target()).settle(HttpVersion::Auto).await.unwrap();
    assert_eq!(target.protocol, Protocol::Http2);
    for model in MODELS {
        let report = drive(visits(""), model, target.clone()).await;
        assert_all_answered(&report);
        let made = connections(&report);
        assert_eq!(made.opened, made.full_handshakes, "{made:?}");
    }
}
