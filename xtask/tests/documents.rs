//! The documents name files that exist.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What a name must end in to be that of a file kept in this repository. `json` is left out: most are written by a run.
const KINDS: [&str; 7] = ["rs", "toml", "md", "html", "yml", "sh", "py"];

/// Names of files that a run writes, or that stand for any file of the kind.
const NOT_OURS: [&str; 4] = ["report.html", "summary.md", "x/a.rs", "x/b.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file and folder of the repository, from its root, without what is built.
fn tree() -> BTreeSet<String> {
    let root = root();
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if name != "target" && !name.starts_with(".git") {
                folders.extend(path.is_dir().then_some(path));
                found.insert(name);
            }
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().flatten();
    let pages = docs
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages.chain([root().join("README.md")]).collect()
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
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
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
