//! The files of the repository, for the tests that read them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `folder`, from the root: those that git tracks, or would if they were added.
pub(crate) fn names(folder: &str) -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--", folder])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Every file below `folder` whose name ends like that, with its path from the root and its text.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<(PathBuf, String)> {
    let names = names(folder);
    let wanted = names
        .iter()
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)));
    // A file that was just removed may still be tracked.
    let read = |name: &String| Some((PathBuf::from(name), fs::read_to_string(root().join(name)).ok()?));
    let found: Vec<_> = wanted.filter_map(read).collect();
    assert!(!found.is_empty(), "nothing like {endings:?} under {folder}");
    found
}
