//! The invariants of docs/ARCHITECTURE.md that the shape of the tree can prove. The others are proven by the tests of
//! the package they bind, named there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tree::root;

/// Where tests and production code of our packages stand.
const FOLDERS: [&str; 7] = [
    "service",
    "loadtest",
    "testcontainers",
    "scenarios",
    "reports",
    "benches",
    "xtask",
];

/// Every `.rs` file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    tree::files(folder, &[".rs"])
}

/// Every `.rs` file below `folder`, without comments and without what only tests compile.
fn production(folder: &str) -> Vec<(PathBuf, String)> {
    let shipped = sources(folder)
        .into_iter()
        .filter(|(path, _)| !path.ends_with("tests.rs"));
    let without_tests = |text: String| text.split("#[cfg(test)]\nmod tests {").next().map(without_comments);
    shipped
        .map(|(path, text)| (path, without_tests(text).unwrap_or_default()))
        .collect()
}

/// Names of all packages that `package` is built from (normal and build dependencies).
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-e",
            "normal,build",
            "--prefix",
            "none",
            "-f",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

const OURS: [&str; 10] = [
    "benches",
    "insurance-service",
    "load",
    "loadtest",
    "measure",
    "reports",
    "scenarios",
    "stack",
    "tiered-cache",
    "xtask",
];

fn ours_below(package: &str) -> BTreeSet<String> {
    tree(package)
        .into_iter()
        .filter(|name| OURS.contains(&name.as_str()) && name != package)
        .collect()
}

#[test]
fn arrows_point_downwards_only() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("stack", &[][..]),
        ("measure", &[]),
        ("tiered-cache", &[]),
        ("xtask", &[]),
        ("scenarios", &["measure"]),
        ("reports", &["measure"]),
        ("insurance-service", &["tiered-cache"]),
        ("load", &["scenarios", "measure"]),
        ("loadtest", &["load", "scenarios", "reports", "measure", "stack"]),
        ("benches", &["tiered-cache", "measure", "insurance-service"]),
    ]);
    for package in OURS {
        let allowed: BTreeSet<String> = allowed[package].iter().map(|&name| name.to_owned()).collect();
        let found = ours_below(package);
        assert!(
            found.is_subset(&allowed),
            "{package} depends on {found:?}, allowed are {allowed:?}"
        );
    }
}

/// Invariant 1.
#[test]
fn the_harness_is_a_black_box() {
    for package in ["loadtest", "load", "scenarios", "reports"] {
        let packages = tree(package);
        assert!(packages.contains("measure"), "the check sees no tree of {package}");
        assert!(
            !packages.contains("insurance-service"),
            "{package} depends on the service it measures"
        );
    }
}

/// Invariant 1, the other half: what is known of the reference service stands in its subject file.
#[test]
fn the_harness_names_no_service() {
    for (path, text) in sources("loadtest/src") {
        for own in ["insurance", "/health/ready", "\"serve\"", "\"seed\""] {
            assert!(!text.contains(own), "{} knows a service by {own}", path.display());
        }
    }
    let file = fs::read_to_string(root().join("scenarios/subjects/insurance-service.toml")).unwrap();
    assert!(
        file.contains("/health/ready"),
        "the check looks for what no service has"
    );
}

/// Invariant 2.
#[test]
fn measure_is_pure() {
    let packages = tree("measure");
    assert!(packages.contains("hdrhistogram"), "the check sees no tree of measure");
    for banned in ["tokio", "reqwest", "hyper", "sqlx", "redis"] {
        assert!(!packages.contains(banned), "measure depends on {banned}");
    }
    for (path, text) in production("loadtest/measure/src") {
        let pure = !text.contains("std::net") && !text.contains("std::process") && !text.contains("std::thread");
        assert!(pure, "{} does I/O beyond records", path.display());
        let files = text.contains("std::fs") || text.contains("File::");
        let keeps_records = path.ends_with("store.rs") || path.ends_with("history/file.rs");
        assert!(!files || keeps_records, "{} touches files", path.display());
    }
}

/// Invariant 3.
#[test]
fn sql_stands_only_in_the_store() {
    let words = [
        "SELECT ",
        "INSERT INTO",
        "DELETE FROM",
        "UPDATE ",
        "sqlx::query",
        "COPY ",
    ];
    let mut seen_in_store = false;
    for (path, text) in sources("service/src") {
        let sql = words.iter().find(|word| without_comments(&text).contains(*word));
        if path.starts_with("service/src/store") {
            seen_in_store |= sql.is_some();
        } else {
            assert!(sql.is_none(), "{} contains SQL ({:?})", path.display(), sql);
        }
    }
    assert!(seen_in_store, "the check recognises no SQL at all");
}

/// Invariant 4: the one place that puts anything into L1.
#[test]
fn l1_is_filled_in_one_place() {
    let code = production("service/cache/src");
    let count = |needle: &str| code.iter().map(|(_, text)| text.matches(needle).count()).sum::<usize>();
    assert_eq!(count(".fill("), 1, "L1 must be filled by exactly one call");
    assert_eq!(
        count("self.entries.insert("),
        1,
        "and that call must be the only one that reaches the map"
    );
}

/// Invariant 5, the part that a search can show; clippy.toml refuses the calls too.
#[test]
fn no_queue_is_unbounded() {
    let own = Path::new(file!()).file_name().unwrap();
    for folder in FOLDERS {
        for (path, text) in sources(folder) {
            assert!(
                path.ends_with(own) || !without_comments(&text).contains("unbounded_channel"),
                "{}",
                path.display()
            );
        }
    }
}

/// Invariant 6: no statistics library, no histogram, and none of measure's estimators.
#[test]
fn reports_computes_no_statistic() {
    let manifest = fs::read_to_string(root().join("reports/Cargo.toml")).unwrap();
    for banned in ["statrs", "hdrhistogram", "rand"] {
        assert!(
            !manifest.lines().any(|line| line.starts_with(banned)),
            "reports depends on {banned}"
        );
    }
    for (path, text) in sources("reports/src") {
        for banned in [
            "measure::stats",
            "measure::summary",
            "measure::compare",
            "measure::histogram",
            "LatencyHistogram",
        ] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
    }
}

/// Invariant 10.
#[test]
fn tests_neither_sleep_nor_use_fixed_ports() {
    let own = Path::new(file!()).file_name().unwrap();
    for folder in FOLDERS {
        for (path, text) in sources(folder) {
            if path.ends_with(own) || !path.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            for banned in [
                "thread::sleep",
                "127.0.0.1:5432",
                "127.0.0.1:6379",
                "127.0.0.1:9092",
                "#[ignore",
            ] {
                assert!(!text.contains(banned), "{} contains {banned}", path.display());
            }
        }
    }
}

#[test]
fn every_module_says_what_belongs_in_it() {
    for folder in FOLDERS {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
        }
    }
}

fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}
