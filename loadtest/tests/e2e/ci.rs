//! The examples for continuous integration (docs/ci): their scripts are run as they stand, with short settings in
//! place of their variables.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use measure::record::{Record, Verdict};
use scenarios::{Targets, Workload};
use serde_json::Value;

use crate::support::{Response, Server, WorkloadText, Workplace, bin_dir, closed, p95_text, page, repository, said};

/// A workload that takes seconds, in either model.
fn workload() -> String {
    let text = WorkloadText {
        name: "page",
        blocks: 2,
        model: &(closed(40) + "[model.open]\nrate = { constant = { per_s = 100 } }\n"),
        quick: "warm_up_s = 0.2\nmeasure_s = 1\nblocks = 2\n",
        // Long beside the steps of a timer, and requests enough for two blocks to hold a p95.
        rest: &page(50),
        ..WorkloadText::default()
    };
    text.to_string()
}

/// What a script may begin with; anything else would be run here unseen.
const KNOWN: [&str; 12] = [
    "--out ",
    "apt-get ",
    "cargo build",
    "echo",
    "loadtest",
    "mkdir",
    "against=",
    "if test",
    "cp ",
    "export PATH",
    "fi",
    "test ",
];

/// The directory that a job works in.
struct Job {
    place: Workplace,
    servers: [Server; 2],
}

impl Job {
    fn new() -> Self {
        let job = Self {
            place: Workplace::new(),
            servers: [0, 1].map(|_| Server::start(|_| Response::ok("ok"))),
        };
        job.place.write("workload.toml", &workload());
        job.place.write("targets.toml", &p95_text("page", 5000.0));
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// Runs a script as a job does, with the release binaries found in PATH.
    fn run(&self, script: &str) -> Output {
        let path = format!("{}:{}", bin_dir().display(), std::env::var("PATH").unwrap());
        let [before, after] = self
            .servers
            .each_ref()
            .map(|server| format!("url:http://{}", server.address));
        let variables = [
            ("PATH", path.as_str()),
            ("GATE_WORKLOAD", "workload.toml"),
            ("WORKLOAD", "workload.toml"),
            ("TARGETS", "targets.toml"),
            ("BEFORE", &before),
            ("AFTER", &after),
            ("NIGHTLY", &after),
            // What two revisions get without being asked, in the shortest slices.
            ("COMPARE_OPTIONS", "--model open --blocks 8 --measure-s 0.05"),
            ("RUN_OPTIONS", "--quick"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_STEP_SUMMARY", "summary.md"),
            ("GITHUB_PATH", "path"),
        ];
        let mut command = Command::new("bash");
        command
            .args(["-e", "-o", "pipefail", "-c", script])
            .envs(variables)
            .current_dir(self.path(""));
        command.output().unwrap()
    }

    /// Runs scripts until one fails, and says what came of the last.
    fn run_all<'s>(&self, scripts: impl IntoIterator<Item = &'s String>) -> Output {
        let mut last = None;
        for script in scripts {
            let output = self.run(&without_setup(script));
            let failed = !output.status.success();
            last = Some(output);
            if failed {
                break;
            }
        }
        last.expect("a job has scripts")
    }

    /// A busy machine may spoil the run; then the gate says so. What it says and how it ends must agree.
    #[track_caller]
    fn assert_gated(&self, last: &Output) -> Record {
        let text = said(last);
        let judged =
            Record::load(&self.path("results/judged/record.json")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(last.status.success(), judged.exit_code == 0, "{text}");
        for file in ["report.html", "junit.xml", "summary.md", "verdict.json"] {
            assert!(
                self.path("results/judged").join(file).is_file(),
                "{file} is missing:\n{text}"
            );
        }
        judged
    }
}

/// Nothing is built or installed in a test: that the crates exist is asked of cargo instead.
fn without_setup(script: &str) -> String {
    let manifest = repository("Cargo.toml");
    let ask = format!("cargo tree --manifest-path {} --depth 0 --locked", manifest.display());
    let kept = script.lines().filter(|line| !line.starts_with("apt-get "));
    kept.collect::<Vec<_>>()
        .join("\n")
        .replace("cargo build --release --locked", &ask)
}

#[track_caller]
fn assert_known(scripts: &[String]) {
    for line in scripts.iter().flat_map(|script| script.lines()) {
        assert!(
            KNOWN.iter().any(|begin| line.trim_start().starts_with(begin)),
            "{line:?} is not run here"
        );
    }
}

/// The examples, each with the table that has its variables.
const EXAMPLES: [(&str, &str); 2] = [
    ("docs/ci/github-actions.yml", "env"),
    ("docs/ci/gitlab-ci.yml", "variables"),
];

fn parsed(file: &str) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(repository(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The scripts of a job of a GitHub workflow, in order.
fn github_scripts(job: &str) -> Vec<String> {
    let workflow = parsed("docs/ci/github-actions.yml");
    let steps = workflow["jobs"][job]["steps"]
        .as_array()
        .unwrap_or_else(|| panic!("no job {job}"));
    let scripts: Vec<String> = steps
        .iter()
        .filter_map(|step| step["run"].as_str().map(str::to_owned))
        .collect();
    assert!(scripts.len() >= 3, "{scripts:?}");
    scripts
}

/// The scripts of a job of a GitLab pipeline, in order, with those that it takes from the job it extends.
fn gitlab_scripts(job: &str) -> Vec<String> {
    let pipeline = parsed("docs/ci/gitlab-ci.yml");
    let own = &pipeline[job];
    let base = &pipeline[own["extends"].as_str().unwrap()];
    let lines = |value: &Value| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|line| line.as_str().map(str::to_owned))
            .collect()
    };
    let scripts = [lines(&base["before_script"]), lines(&own["script"])].concat();
    assert!(scripts.len() >= 4, "{scripts:?}");
    scripts
}

/// The files that the variables name as they stand: two `git:` subjects need a workload with an open model, and the
/// targets of the nightly run must be of endpoints that its workload has.
#[test]
fn the_variables_name_files_that_fit() {
    for (example, table) in EXAMPLES {
        let variables = &parsed(example)[table];
        let file = |name: &str| {
            repository(
                variables[name]
                    .as_str()
                    .unwrap_or_else(|| panic!("{example}: no {name}")),
            )
        };
        let gate = Workload::load(&file("GATE_WORKLOAD")).unwrap();
        assert!(
            gate.models.open.is_some(),
            "{example}: GATE_WORKLOAD has no [model.open]"
        );
        let nightly = Workload::load(&file("WORKLOAD")).unwrap();
        Targets::load(&file("TARGETS"), &nightly.endpoint_names()).unwrap();
        for (name, begin) in [("BEFORE", "git:"), ("AFTER", "git:HEAD:"), ("NIGHTLY", "profile:")] {
            assert!(
                variables[name].as_str().unwrap().starts_with(begin),
                "{example}: {name}"
            );
        }
    }
}

#[test]
fn a_pull_request_is_compared_and_gated() {
    for scripts in [github_scripts("compare"), gitlab_scripts("performance:compare")] {
        assert_known(&scripts);
        let job = Job::new();
        let judged = job.assert_gated(&job.run_all(&scripts));
        assert_eq!(judged.subjects.len(), 2);
        assert!(judged.gate.is_some(), "{}", judged.verdict_reason);
        let summary = fs::read_to_string(job.path("summary.md")).unwrap();
        assert!(
            summary.starts_with("## ") && summary.contains("[Report](<"),
            "{summary}"
        );
    }
}

/// Twice: the first run has no baseline yet, the second is held against the first.
#[test]
fn a_nightly_run_is_held_to_its_targets_and_to_the_night_before() {
    for scripts in [github_scripts("nightly"), gitlab_scripts("performance:targets")] {
        assert_known(&scripts);
        let job = Job::new();
        let first = job.assert_gated(&job.run_all(&scripts));
        assert!(first.baseline.is_none() && !first.targets.is_empty());
        let history = fs::read_to_string(job.path("kept/history.jsonl")).unwrap();
        assert_eq!(history.lines().count(), 1, "{history}");
        let kept = job.path("kept/baseline.json");
        assert_eq!(kept.is_file(), first.exit_code == 0);
        keep_as_baseline(&job.path("results/run/record.json"), &kept);

        let second = job.assert_gated(&job.run_all(&scripts));
        assert!(second.baseline.is_some(), "{}", second.verdict_reason);
        assert_eq!(
            fs::read_to_string(job.path("kept/history.jsonl"))
                .unwrap()
                .lines()
                .count(),
            2
        );
    }
}

/// Also where a busy machine spoilt the first run, so that the second has something to be held against.
fn keep_as_baseline(record: &Path, kept: &Path) {
    let mut record = Record::load(record).unwrap();
    record.verdict = Verdict::Pass;
    record.exit_code = 0;
    record.save(kept).unwrap();
}
