//! The folder can be lifted out of this repository: a copy of it, with nothing around it, is a package that cargo
//! takes. `CACHE_TESTS_LONG=1` also compiles it there, tests and all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Lines of the manifest that are no dependencies, and the dependency that nothing else here has.
const OWN: [&str; 4] = ["version", "edition", "rust-version", "flate2"];

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("it can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}

/// A copy of the folder, with the versions that this repository builds with.
fn lifted(to: &Path) -> PathBuf {
    let copied = to.join("tiered-cache");
    copy(folder(), &copied);
    if let Some(lock) = lock_file() {
        fs::copy(lock, copied.join("Cargo.lock")).expect("it can be copied");
    }
    copied
}

fn lock_file() -> Option<PathBuf> {
    let above = folder().ancestors().map(|folder| folder.join("Cargo.lock"));
    above.into_iter().find(|lock| lock.exists())
}

fn cargo(place: &Path, arguments: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(place)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_copy_of_the_folder_is_a_package() {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let copied = lifted(elsewhere.path());
    cargo(
        &copied,
        &["metadata", "--offline", "--format-version", "1", "--all-features"],
    );
    if std::env::var_os("CACHE_TESTS_LONG").is_some() {
        // Beside what is built already, so that dependencies are built once and not with every copy.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lifted");
        let target = target.to_str().expect("text");
        let everything = ["test", "--offline", "--all-features", "--target-dir", target];
        cargo(&copied, &[&everything[..], &["--no-run"]].concat());
        // What only other features than this repository's compile.
        cargo(&copied, &[&everything[..], &["--lib", "l2::"]].concat());
    }
}

/// Inside this repository, each dependency is the one that the other packages use.
#[test]
fn versions_are_those_of_the_repository() {
    let Some(root) = lock_file().map(|lock| lock.with_file_name("Cargo.toml")) else {
        return;
    };
    if root.parent() == Some(folder()) {
        return;
    }
    let (root, own) = (read(&root), read(&folder().join("Cargo.toml")));
    let dependencies = own
        .lines()
        .filter_map(|line| Some((line.split_once(" = ")?.0, version(line)?)));
    let mut compared = 0;
    for (name, own) in dependencies.filter(|(name, _)| !OWN.contains(name)) {
        let line = root.lines().find(|line| line.starts_with(&format!("{name} = ")));
        let root = line.and_then(version);
        assert_eq!(root, Some(own), "{name}: here and in the root Cargo.toml");
        compared += 1;
    }
    assert!(compared > 10, "only {compared} dependencies were found");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the manifest can be read")
}

/// The version in a line of a manifest.
fn version(line: &str) -> Option<&str> {
    let quoted = line.split('"').nth(1)?;
    quoted
        .starts_with(|first: char| first.is_ascii_digit())
        .then_some(quoted)
}
