//! Wrong files on disk, and what is said of them.

use std::path::Path;

use scenarios::InputError;

/// Writes `text` to `w.toml` with other files (name, text) beside it, loads it and returns the refusal without the
/// directory's name.
pub(crate) fn refusal(text: &str, beside: &[(&str, &str)], load: impl Fn(&Path) -> Result<(), InputError>) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in beside {
        std::fs::write(directory.path().join(name), text).expect("a writable directory");
    }
    let file = directory.path().join("w.toml");
    std::fs::write(&file, text).expect("a writable directory");
    let error = load(&file).expect_err("the file is wrong");
    assert_eq!(error.file, file);
    error
        .to_string()
        .replace(&format!("{}/", directory.path().display()), "")
}
