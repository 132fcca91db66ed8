//! What a command says: lines on standard output and standard error, where nobody may be listening any more.
//!
//! A closed pipe, a full device or a terminal that is gone must change nothing about what the command does and returns,
//! so that `println!` and its like, which panic there, are refused by lint in this package.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// A line for whoever asked: on standard output. Where it cannot be written (and not because the reader has gone), a
/// line on standard error says so.
pub(crate) fn out(line: impl Display) {
    if let Err(error) = write(&mut io::stdout().lock(), &format!("{line}\n"))
        && error.kind() != ErrorKind::BrokenPipe
    {
        err(format_args!("warning: standard output: {error}"));
    }
}

/// A line about what goes on: on standard error.
pub(crate) fn err(line: impl Display) {
    // Nobody is left to be told.
    let _ = write(&mut io::stderr().lock(), &format!("{line}\n"));
}

fn write(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
