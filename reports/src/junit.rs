//! The record as a `JUnit` test suite, for build servers: every finding is a test case.

use measure::record::Record;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ReportError;
use crate::findings::{End, Finding, findings};
use crate::words::printable;

/// The whole document.
pub(crate) fn suite(record: &Record) -> Result<String, ReportError> {
    let mut suite = TestSuite::new(printable(&record.workload.name));
    suite.set_timestamp(record.created_at.fixed_offset());
    suite.add_test_cases(findings(record).iter().map(case));
    let mut report = Report::new("loadtest");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
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
