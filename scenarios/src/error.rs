//! Mistakes in an input file, as its author is told of them: with the line, and the nearest right name.

use std::fmt;
use std::path::PathBuf;

/// A workload or targets file that cannot be used. Holds every mistake that could be found in one pass.
///
/// `Display` writes one line per mistake, `FILE:LINE: what is wrong; did you mean ...?`, the form that editors and
/// terminals turn into links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The file, as it was given.
    pub file: PathBuf,
    /// At least one, in the order of the file.
    pub mistakes: Vec<Mistake>,
}

/// One thing wrong in an input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line in the file, from 1; absent when the file could not be read at all.
    pub line: Option<usize>,
    /// The mistake in words.
    pub what: String,
    /// Advice what to write instead, where that is known.
    pub hint: Option<String>,
}

impl std::error::Error for InputError {}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = mistake.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {mistake}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
