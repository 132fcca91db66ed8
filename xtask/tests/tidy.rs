//! Lines of Rust, Markdown and TOML have at most 120 columns.
//!
//! Exempt are rows of Markdown tables (they begin with `|`, in files and in doc comments), because Markdown knows no
//! row of two lines, and lines of a single word, such as an address, because there is no place to break them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod tree;

const COLUMNS: usize = 120;

#[test]
fn lines_fit_into_120_columns() {
    let mut too_long = Vec::new();
    for (path, text) in tree::files(".", &[".rs", ".md", ".toml"]) {
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS && !is_exempt(line) {
                too_long.push(format!("{}:{number}: {columns} columns", path.display()));
            }
        }
    }
    assert!(
        too_long.is_empty(),
        "{} lines are too long:\n{}",
        too_long.len(),
        too_long.join("\n")
    );
}

/// See the head of this file.
fn is_exempt(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!', '#']).trim();
    text.starts_with('|') || !text.contains(' ')
}

#[test]
fn only_table_rows_and_single_words_may_be_longer() {
    let word = "https://example.org/".repeat(10);
    assert!(is_exempt(&format!("    /// {word}")) && is_exempt(&format!("//! | a | {word} |")));
    assert!(!is_exempt(&format!("/// see {word}")) && !is_exempt(&format!("let a = \"{word} |\";")));
}
