//! How requests travelled, in each form of the report.

use measure::record::{Compressed, ConnectionSummary, Record, StepTimes, Transport};
use reports::{html, markdown};

use crate::support;

fn with(found: ConnectionSummary) -> Record {
    let mut record = support::single();
    let (_, judged) = record.sides();
    let judged = judged.to_owned();
    record.summary.get_mut(&judged).expect("a summary").connections = Some(found);
    record
}

fn over_frames() -> ConnectionSummary {
    let times = |count, p50_ms| StepTimes {
        count,
        p50_ms,
        p95_ms: 2.0 * p50_ms,
        max_ms: 3.0 * p50_ms,
    };
    ConnectionSummary {
        transport: Transport {
            protocol: "HTTP/2".to_owned(),
            tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384".to_owned()),
            is_insecure: true,
            has_client_certificate: false,
            streams: 8,
        },
        opened: 4,
        requests_per_connection: Some(250.0),
        full_handshakes: Some(times(3, 1.5)),
        resumed_handshakes: Some(times(1, 0.5)),
        hops: [("login".to_owned(), times(20, 4.0))].into(),
        compressed: [(
            "items".to_owned(),
            Compressed {
                bytes: 1_000,
                content_bytes: 8_000,
            },
        )]
        .into(),
        ..ConnectionSummary::default()
    }
}

#[test]
fn the_page_has_protocol_handshakes_redirects_and_sizes() {
    let page = html(&with(over_frames())).unwrap();
    let (_, section) = page.split_once("<section id=\"connections\"").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    for shown in [
        "HTTP/2",
        "8 streams on a connection",
        "TLSv1.3 TLS_AES_256_GCM_SHA384",
        "certificate was not verified",
        "1.50 / 3.00",
        "3 times",
        "login",
        "8,000",
    ] {
        assert!(section.contains(shown), "{shown} is missing: {section}");
    }
    assert!(page.contains("href=\"#connections\""));
}

#[test]
fn a_summary_says_how_requests_travelled_only_where_it_is_out_of_the_ordinary() {
    assert!(markdown(&with(over_frames())).contains("### Connections"));
    let ordinary = ConnectionSummary {
        opened: 2,
        requests_per_connection: Some(5_000.0),
        ..ConnectionSummary::default()
    };
    assert!(!markdown(&with(ordinary.clone())).contains("### Connections"));
    assert!(html(&with(ordinary.clone())).unwrap().contains("HTTP/1.1"));
    let one_each = ConnectionSummary {
        requests_per_connection: Some(1.0),
        ..ordinary
    };
    assert!(markdown(&with(one_each)).contains("### Connections"));
    assert!(!html(&support::record()).unwrap().contains("connections-heading"));
}
