//! Workload files changed at random: each is read, or refused with what a reader of the file understands.

use std::path::{Path, PathBuf};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scenarios::Workload;

/// Files that were kept because they use every part of the format, or many wrong ones; and those that are shipped.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/corpus", "workloads", "examples/shop"].map(|folder| root.join(folder));
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("a folder of the repository"))
        .map(|entry| entry.expect("a file").path())
        .filter(|file| file.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    let read = |file: &PathBuf| std::fs::read_to_string(file).expect("a readable file");
    files.iter().map(read).collect()
}

/// What may stand where something else did.
const TELLING: [&str; 24] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "-1",
    "0",
    "1e300",
    "nan",
    "true",
    "{null}",
    "{x}",
    "2026-01-01",
    "[endpoints.page]",
    "steps",
    "\u{1b}[31m",
    "\\",
    "99999999999999999999999999999999999999999",
];

/// A file with a few lines or words changed, left out, doubled, or taken from elsewhere.
fn changed(corpus: &[String], rng: &mut ChaCha8Rng) -> String {
    let mut lines: Vec<String> = corpus[rng.random_range(0..corpus.len())]
        .lines()
        .map(str::to_owned)
        .collect();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..lines.len());
        match rng.random_range(0..6) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[rng.random_range(0..lines.len())].clone()),
            2 => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                let count = other.lines().count();
                let line = other.lines().nth(rng.random_range(0..count)).unwrap_or_default();
                lines.insert(at, line.to_owned());
            }
            _ => {
                let words: Vec<&str> = lines[at].split(' ').collect();
                let word = rng.random_range(0..words.len());
                let new = TELLING[rng.random_range(0..TELLING.len())];
                let words = words.iter().enumerate();
                let words: Vec<&str> = words
                    .map(|(index, old)| if index == word { new } else { old })
                    .collect();
                lines[at] = words.join(" ");
            }
        }
    }
    lines.join("\n")
}

#[test]
fn files_changed_at_random_are_read_or_refused_in_words() {
    let (corpus, mut rng) = (corpus(), ChaCha8Rng::seed_from_u64(20));
    let file = Path::new("scenarios/examples/shop/w.toml");
    for _ in 0..4_000 {
        let text = changed(&corpus, &mut rng);
        let Err(error) = Workload::parse(file, &text) else {
            continue;
        };
        assert!(!error.mistakes.is_empty(), "{text}");
        for mistake in &error.mistakes {
            let lines = text.lines().count() + 1;
            assert!(
                mistake.line.is_some_and(|line| (1..=lines).contains(&line)),
                "{mistake:?} of\n{text}"
            );
            for ours in ["struct ", "enum ", "Raw", "variant", "Spanned", "DeValue", "__"] {
                let quoted = text.contains(ours);
                assert!(quoted || !mistake.what.contains(ours), "{mistake:?} of\n{text}");
            }
        }
    }
}
