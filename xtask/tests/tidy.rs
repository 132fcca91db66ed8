//! What a search can show of the form of all files: the length of lines, and that what is named exists.
//!
//! Lines of Rust, Markdown and TOML have at most 120 columns. Exempt are rows of Markdown tables (they begin with `|`,
//! in files and in doc comments), because Markdown knows no row of two lines, and lines of a single word, such as an
//! address, because there is no place to break them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod tree;

use std::{collections::BTreeSet, path::Path};

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

/// In code, comments, help texts, documents and configuration.
#[test]
fn every_document_that_is_named_exists() {
    let own = Path::new(file!()).file_name().unwrap();
    let mut missing = BTreeSet::new();
    for (path, text) in tree::files(".", &[".rs", ".md", ".toml", ".yml", ".yaml", ".html", "Dockerfile"]) {
        for named in documents_named(&text) {
            if !path.ends_with(own) && !tree::root().join(named).exists() {
                missing.insert(format!("{} names {named}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every `docs/X.md` in a text.
fn documents_named(text: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    text.match_indices("docs/").filter_map(move |(start, _)| {
        let rest = &text[start..];
        let word = &rest[..rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())];
        let name = word.trim_end_matches('.');
        let in_a_longer_path = text[..start].ends_with(is_of_name);
        let is_document = Path::new(name).extension().is_some_and(|ending| ending == "md");
        (is_document && !in_a_longer_path).then_some(name)
    })
}

#[test]
fn documents_are_found_among_words() {
    let text = "see docs/A-B.md, `docs/C.md` (docs/d/E.md). Not https://host/docs/F.md or docs/*.md or docs/.";
    let found: Vec<&str> = documents_named(text).collect();
    assert_eq!(found, ["docs/A-B.md", "docs/C.md", "docs/d/E.md"]);
}

/// Links without a scheme, from the place of the document.
#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in tree::files(".", &[".md"]) {
        let place = tree::root().join(path.parent().unwrap_or(Path::new("")));
        for link in links(&text).filter(|link| !place.join(link).exists()) {
            broken.push(format!("{} links to {link}", path.display()));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    let files = targets.filter(|target| !target.contains(':'));
    files
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|file| !file.is_empty())
}

#[test]
fn links_are_told_from_addresses() {
    let found: Vec<&str> = links("[a](B.md#c) [d](https://e) [f](#g) [h](../i.md \"title\")").collect();
    assert_eq!(found, ["B.md", "../i.md"]);
}
