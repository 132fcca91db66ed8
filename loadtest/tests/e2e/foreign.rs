//! A service that is not ours: a Node server that the harness knows nothing of, measured with nothing but a workload
//! file.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use measure::record::{ALL_ENDPOINTS, Model, Record};

use crate::support::{Workplace, check, repository};

const WORKLOAD: &str = "scenarios/examples/shop/shop.toml";

/// The example's server, until it is dropped.
pub(crate) struct Shop {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Shop {
    pub(crate) fn start() -> Self {
        let mut child = Command::new("node")
            .arg(repository("scenarios/examples/shop/server.mjs"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs: install it with `apt-get install nodejs`");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .unwrap()
            .parse()
            .unwrap();
        Self { child, address }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measured(model: &str) -> Record {
    let (place, shop) = (Workplace::new(), Shop::start());
    let more = ["--quick", "--model", model];
    let arguments = place.arguments("run", &repository(WORKLOAD), shop.address, &more);
    let finished = place.loadtest(&arguments).finish();
    assert!(finished.text.contains("report: "), "{}", finished.text);
    place.record()
}

#[test]
fn is_measured_in_both_models_with_every_part_of_the_format() {
    for (model, expected) in [("open", Model::Open), ("closed", Model::Closed)] {
        let record = measured(model);
        assert_eq!(
            (record.workload.model, record.subjects[0].kind.as_str()),
            (expected, "url")
        );
        assert!(record.stack.is_empty() && record.subjects[0].binary_sha256.is_none());
        let summary = record.summary.values().next().unwrap();
        for endpoint in ["login", "items", "new_cart", "change_cart", "cart"] {
            assert!(
                summary.endpoints[endpoint].count > 0,
                "{model}: {endpoint} was not requested"
            );
        }
        let all = &summary.endpoints[ALL_ENDPOINTS];
        assert!(all.error_rate.abs() < f64::EPSILON, "{model}: {}", all.error_rate);
        assert!(summary.metrics["prometheus.shop_requests_total"].value > all.count as f64 / 2.0);
        assert!(
            !summary.metrics.contains_key("service.rss_mb"),
            "there is no process to look at"
        );
        let versions = summary.consistency.as_ref().unwrap();
        assert!(
            versions.writes > 0 && versions.reads > 0 && versions.stale_reads == 0,
            "{versions:?}"
        );
        for name in [
            "every answer has its time",
            "the seconds add up to the measured phase",
            "every endpoint was measured",
        ] {
            assert!(check(&record, name).ok, "{model}: {:?}", check(&record, name));
        }
    }
}

#[test]
fn an_answer_that_is_not_as_expected_is_an_error_with_its_reason() {
    let (place, shop) = (Workplace::new(), Shop::start());
    let text = std::fs::read_to_string(repository(WORKLOAD))
        .unwrap()
        .replace("\"/items/0\" = \"apple\"", "\"/items/0\" = \"pear\"")
        .replace(
            "users.csv",
            repository("scenarios/examples/shop/users.csv").to_str().unwrap(),
        );
    let (finished, record) = place.measure(&text, shop.address, &["--quick"]);
    assert_ne!(finished.status.code(), Some(0));
    finished.assert_says("GET items: expected \"pear\" as `/items/0` of the body, got \"apple\"");
    assert!(!check(&record, "few errors").ok);
}

#[test]
fn a_service_that_is_not_there_is_unavailable() {
    let place = Workplace::new();
    // Bound and never listening, for as long as it is held.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let arguments = place.arguments("run", &repository(WORKLOAD), silent.local_addr().unwrap(), &[]);
    let finished = place.loadtest(&arguments).finish();
    finished.assert_code(3);
    finished.assert_says("is it up?");
}
