//! The record as a `JUnit` test suite, for build servers: every finding is a test case.

use measure::record::Record;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ReportError;
use crate::findings::{End, Finding, findings};
use crate::words::{endpoint_title, printable};

/// The whole document.
pub(crate) fn suite(record: &Record) -> Result<String, ReportError> {
    let mut suite = TestSuite::new(printable(&record.workload.name));
    suite.set_timestamp(record.created_at.fixed_offset());
    let mut cases: Vec<TestCase> = findings(record).iter().map(case).collect();
    if let (Some(run), Some(failures)) = (cases.first_mut(), failures(record)) {
        run.set_system_out(printable(&failures));
    }
    suite.add_test_cases(cases);
    let mut report = Report::new("loadtest");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

/// Failures of all subjects by class and by kind, as the output of the run; none where nothing failed.
fn failures(record: &Record) -> Option<String> {
    let lines = record.summary.iter().flat_map(|(subject, summary)| {
        let classes = summary.endpoints.iter().filter(|(_, of)| !of.failures.is_empty());
        let classes = classes.map(move |(endpoint, of)| {
            let title = endpoint_title(endpoint);
            format!(
                "{subject}, {title}: {} failed: {}",
                of.failures.total(),
                of.failures.describe()
            )
        });
        let kinds = summary.failures.iter();
        classes.chain(kinds.map(move |group| format!("{subject}: {}", group.describe())))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn case(finding: &Finding) -> TestCase {
    let message = match finding.state {
        "" => finding.message.clone(),
        state => format!("{state}: {}", finding.message),
    };
    let failed = |kind, text: &'static str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(text);
        status
    };
    let mut status = match finding.end {
        End::Passed => TestCaseStatus::success(),
        End::Failed(kind) => failed(NonSuccessKind::Failure, kind),
        End::Error(kind) => failed(NonSuccessKind::Error, kind),
        End::Open => TestCaseStatus::skipped(),
    };
    if finding.end != End::Passed {
        let message = printable(&message);
        // Readers of XML take a line break within an attribute for a space.
        if message.contains('\n') {
            status.set_description(message.clone());
        }
        status.set_message(message);
    }
    let mut case = TestCase::new(printable(&finding.name), status);
    case.set_classname(printable(&finding.class));
    case
}
