//! Markdown for a pull request.

use measure::record::{Priority, Record, TargetVerdict, Verdict};
use reports::markdown;

use crate::support;

/// The last two paragraphs of every summary.
const FOOTER: &str = "\n\
    Workload phase2-mix: closed model, 100 users, mean think time 850 ms, 5 blocks × 20 s measured, 5 s warm-up each. \
    2026-11-23 10:15:00 UTC, record 20261123T101500-7f3a. Repeat with:\n\
    \n\
    ```sh\n\
    loadtest compare --workload scenarios/workloads/phase2-mix.toml --targets scenarios/targets/phase2.toml \
    --subject profile:phase1 --subject profile:phase2 --seed 42\n\
    ```\n";

#[track_caller]
fn without_footer(text: &str) -> &str {
    text.strip_suffix(FOOTER)
        .unwrap_or_else(|| panic!("another footer:\n{text}"))
}

#[test]
fn a_whole_record() {
    let mut record = support::record();
    record.targets.truncate(7);
    record.targets[1].verdict = TargetVerdict::Fail;
    record.targets[1].priority = Priority::P2;
    insta::assert_snapshot!(without_footer(&markdown(&record)), @r#"
    ## ✓ PASS: phase1 → phase2

    Every P0 and P1 target that was measured holds, and no endpoint is slower than before. (exit code 0)

    - p95 of all requests: **61.4 → 3.87 ms**
    - p95 compared block by block: **15.9× faster**
    - cache hit ratio: **92.7 %**
    - database queries per request: **7.84 → 0.612**
    - errors: **0 % → 0 %**

    ### Targets: 1 missed, 5 hold, 1 not measured

    | State | Priority | Target | Asked | Observed | Detail |
    |---|---|---|---:|---:|---|
    | ✗ missed | P2 | p95 latency of dashboard\_summary | &lt; 5 ms | 0.913 ms (0.904 to 0.922 ms) |  |
    | ✓ holds | P0 | p95 latency | &lt; 15 ms | 3.87 ms (3.83 to 3.91 ms) |  |
    | ✓ holds | P0 | p95 latency of driver\_details | &lt; 10 ms | 2.41 ms (2.39 to 2.43 ms) |  |
    | ✓ holds | P0 | p95 latency of risk\_current | &lt; 15 ms | 1.98 ms (1.96 to 2.00 ms) |  |
    | ✓ holds | P1 | p95 latency of dashboard\_summary | at least 70 % lower | 98.9 % lower (97.9 to 99.9 % lower) |  |
    | ✓ holds | P1 | p95 latency of driver\_details | at least 67 % lower | 93.7 % lower (92.8 to 94.6 % lower) |  |
    | – not measured | P0 | p95 latency of trip\_activity | &lt; 8 ms | – | no probe delivers http.p95\_ms yet |

    ### Endpoints: p50 / p95 / p99, milliseconds

    | Endpoint | phase1 | phase2 | After ÷ before, p95 | Outcome |
    |---|---:|---:|---:|---|
    | all requests | 14.2 / 61.4 / 108 | 0.412 / 3.87 / 9.16 | 0.0630 (0.0580 to 0.0700) | ✓ faster |
    | dashboard\_summary | 33.1 / 84.9 / 122 | 0.322 / 0.913 / 1.36 | 0.0108 (0.00989 to 0.0119) | ✓ faster |
    | driver\_details | 12.6 / 38.2 / 58.5 | 0.389 / 2.41 / 4.86 | 0.0631 (0.0580 to 0.0700) | ✓ faster |
    | record\_trip | 6.11 / 16.3 / 23.8 | 5.24 / 12.9 / 18.2 | 0.791 (0.728 to 0.878) | ? cannot tell |
    | risk\_current | 9.87 / 29.4 / 44.7 | 0.351 / 1.98 / 3.85 | 0.0673 (0.0620 to 0.0748) | ✓ faster |
    "#);
}

#[test]
fn a_run_that_measured_nothing() {
    insta::assert_snapshot!(without_footer(&markdown(&support::unavailable())), @r#"
    ## ✗ NOT AVAILABLE: no subject

    phase1 did not become ready within 30 s: /health/ready answered 503. (exit code 3)

    ### Targets

    No targets were judged.

    ### Endpoints

    No latency was measured.
    "#);
}

#[test]
fn a_terminal_gets_the_same_sections_with_names_as_they_are() {
    let mut record = support::record();
    record.targets.truncate(3);
    record.targets[1].detail = "a_b <script> & 5 > 3 @you `x` [y] #1 ~z\u{1b}[31m".to_owned();
    let text = reports::text(&record);
    let (shown, footer) = text.split_once("\n\nWorkload phase2-mix").expect("a footer");
    let shown = shown.replace("a_b <script> & 5 > 3 @you `x` [y] #1 ~z\u{FFFD}[31m", "DETAIL");
    insta::assert_snapshot!(shown, @"
    ✓ PASS: phase1 → phase2

    Every P0 and P1 target that was measured holds, and no endpoint is slower than before. (exit code 0)

    - p95 of all requests: 61.4 → 3.87 ms
    - p95 compared block by block: 15.9× faster
    - cache hit ratio: 92.7 %
    - database queries per request: 7.84 → 0.612
    - errors: 0 % → 0 %

    Targets: 3 hold
    ───────────────

     State    Priority  Target                              Asked                      Observed  Detail
     ✓ holds  P0        p95 latency                       < 15 ms     3.87 ms (3.83 to 3.91 ms)
     ✓ holds  P0        p95 latency of dashboard_summary   < 5 ms  0.913 ms (0.904 to 0.922 ms)  DETAIL
     ✓ holds  P0        p95 latency of driver_details     < 10 ms     2.41 ms (2.39 to 2.43 ms)

    Endpoints: p50 / p95 / p99, milliseconds
    ────────────────────────────────────────

     Endpoint                       phase1                phase2         After ÷ before, p95  Outcome
     all requests        14.2 / 61.4 / 108   0.412 / 3.87 / 9.16   0.0630 (0.0580 to 0.0700)  ✓ faster
     dashboard_summary   33.1 / 84.9 / 122  0.322 / 0.913 / 1.36  0.0108 (0.00989 to 0.0119)  ✓ faster
     driver_details     12.6 / 38.2 / 58.5   0.389 / 2.41 / 4.86   0.0631 (0.0580 to 0.0700)  ✓ faster
     record_trip        6.11 / 16.3 / 23.8    5.24 / 12.9 / 18.2      0.791 (0.728 to 0.878)  ? cannot tell
     risk_current       9.87 / 29.4 / 44.7   0.351 / 1.98 / 3.85   0.0673 (0.0620 to 0.0748)  ✓ faster
    ");
    assert!(
        footer.ends_with(&format!("Repeat with:\n\n    {}\n", record.command)),
        "{footer}"
    );
    assert!(!text.contains(['\\', '|', '\u{1b}']), "{text}");
}

#[test]
fn the_verdict_is_the_first_line() {
    let record = Record {
        verdict: Verdict::Regression,
        exit_code: 6,
        ..support::record()
    };
    assert_eq!(
        markdown(&record).lines().next(),
        Some("## ✗ REGRESSION: phase1 → phase2")
    );
}

#[test]
fn failed_checks_stand_before_the_figures() {
    let mut record = support::record();
    record.checks[0].ok = false;
    let text = markdown(&record);
    assert!(text.find("fsync is on").unwrap() < text.find("### Targets").unwrap());
}

#[test]
fn names_cannot_break_a_table_or_notify_anybody() {
    let mut record = support::record();
    record.targets[0].detail = "a | b\n<img src=x> @somebody `code` *bold*".to_owned();
    record.command = "echo ```".to_owned();
    let text = markdown(&record);
    let row = text.lines().find(|line| line.contains("img")).unwrap();
    assert!(
        row.contains("a \\| b &lt;img src=x&gt; &#64;somebody \\`code\\` \\*bold\\* |"),
        "{row}"
    );
    assert!(text.contains("````sh\necho ```\n````"), "{text}");
}
