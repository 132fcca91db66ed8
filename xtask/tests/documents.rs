//! What is named exists: files in documents, documents in all files, and the targets of links.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod tree;

use std::{collections::BTreeSet, path::Path};

/// What a name must end in to be that of a file kept in this repository. `json` is left out: most are written by a run.
const KINDS: [&str; 7] = ["rs", "toml", "md", "html", "yml", "sh", "py"];

/// Names of files that a run writes, or that stand for any file of the kind.
const NOT_OURS: [&str; 4] = ["report.html", "summary.md", "x/a.rs", "x/b.rs"];

/// Every file of the repository and every folder that holds one, from its root.
fn tree() -> BTreeSet<String> {
    let files = tree::names(".");
    let folders = files.iter().flat_map(|file| Path::new(file).ancestors().skip(1));
    let folders: BTreeSet<String> = folders.map(|folder| folder.display().to_string()).collect();
    files.iter().cloned().chain(folders).collect()
}

/// `x/{a,b}.rs` stands for two names.
fn spelt_out(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else {
        return vec![name.to_owned()];
    };
    let Some((choices, after)) = rest.split_once('}') else {
        return vec![name.to_owned()];
    };
    let each = choices
        .split(',')
        .map(|choice| format!("{before}{}{after}", choice.trim()));
    each.flat_map(|name| spelt_out(&name)).collect()
}

/// What stands in backquotes and looks like a path.
fn names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted.flat_map(spelt_out).filter(|name| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        name.chars().all(plain) && !name.starts_with('/')
    });
    paths.map(|name| name.trim_end_matches('/').to_owned()).collect()
}

/// A name is that of a file if it stands at the root, or, short of its beginning, anywhere.
fn exists(name: &str, tree: &BTreeSet<String>) -> bool {
    let end = format!("/{name}");
    tree.contains(name) || tree.iter().any(|path| path.ends_with(&end))
}

#[test]
fn every_file_that_a_document_names_exists() {
    let tree = tree();
    let mut missing = Vec::new();
    let documents = [tree::files("docs", &[".md"]), tree::files("README.md", &[".md"])].concat();
    for (document, text) in documents {
        // A fenced block is code, whose backquotes would turn the rest inside out.
        let prose: String = text.split("```").step_by(2).collect();
        for name in names(&prose) {
            let first = name.split('/').next().unwrap_or_default();
            let of_a_kind = name.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
            let below_ours = name.contains('/') && first != "target" && tree.contains(first);
            if (of_a_kind && first != "target" || below_ours) && !NOT_OURS.contains(&&*name) && !exists(&name, &tree) {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such files:\n{}", missing.join("\n"));
}

#[test]
fn the_check_finds_what_it_looks_for() {
    let text = "see `x/{a,b}.rs`, `cargo test -p x`, `GET /path`, and `docs/`";
    assert_eq!(names(text), ["x/a.rs", "x/b.rs", "docs"]);
    assert!(exists("measure/src/lib.rs", &tree()) && !exists("measure/src/no_such.rs", &tree()));
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
