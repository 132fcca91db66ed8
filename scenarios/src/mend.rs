//! Mends what does not fit in the parsed tree of a file, so that reading it goes on and finds the next mistake.
//!
//! What belongs here: changes to the tree. What does not: what is said of a mistake (`source`).

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::names::nearest;
use crate::source::{MISSING_FIELD, UNEXPECTED_KEYS, UNKNOWN_FIELD, UNKNOWN_VARIANT};

/// Mended values stand nowhere in the file, each in a place of its own from here on.
const NOWHERE: usize = 1 << 48;
/// A file with more mistakes than this is no file of ours.
const MOST: usize = 500;

/// Values that may fit where a key is missing or its value is of a wrong type, in the order in which they are tried.
const FITTING: [&str; 6] = ["1", "\"/\"", "{}", "[]", "true", "0.5"];

/// Whether a value was mended: what is wrong there has been said already.
pub(crate) fn is_mended(span: &Range<usize>) -> bool {
    span.start >= NOWHERE
}

/// Mends one tree.
#[derive(Default)]
pub(crate) struct Mender {
    /// By the number of its place: what was tried there last, of [`FITTING`].
    tried: Vec<usize>,
    /// Whether something was taken out that may have defined names: what uses them is then no mistake of its own.
    pub(crate) has_removed_names: bool,
}

impl Mender {
    /// Changes the tree at `span`, of which reading it said `message`; false where nothing is left to be tried.
    pub(crate) fn mend(&mut self, table: &mut Spanned<DeTable<'_>>, span: &Range<usize>, message: &str) -> bool {
        if self.tried.len() > MOST {
            return false;
        }
        if message.starts_with(UNKNOWN_FIELD) || message.starts_with(UNEXPECTED_KEYS) {
            return self.remove(table.get_mut(), span);
        }
        if message.starts_with(MISSING_FIELD) {
            let Some(key) = message.split('`').nth(1) else {
                return false;
            };
            let (place, value) = self.placed(0);
            let key = Spanned::new(place, key.to_owned().into());
            // What stands at the top of the file has no place of its own.
            let is_top = table.span() == *span || *span == (0..0);
            return with_table(table.get_mut(), span, is_top, &mut |table| {
                table.insert(key.clone(), value.clone());
            });
        }
        if message.starts_with(UNKNOWN_VARIANT) {
            return self.rename(table.get_mut(), span, message);
        }
        let Some(next) = self.next_to_try(span) else {
            return false;
        };
        let (_, value) = self.placed(next);
        replace(table.get_mut(), span, &value)
    }

    /// What is tried next in a place.
    fn next_to_try(&self, span: &Range<usize>) -> Option<usize> {
        if !is_mended(span) {
            return Some(0);
        }
        let next = self.tried.get(span.start - NOWHERE)? + 1;
        (next < FITTING.len()).then_some(next)
    }

    /// A value in a new place.
    fn placed(&mut self, fitting: usize) -> (Range<usize>, Spanned<DeValue<'static>>) {
        let place = self.place(fitting);
        let mut value = match FITTING[fitting] {
            "{}" => DeValue::Table(DeTable::new()),
            "[]" => DeValue::Array(DeArray::new()),
            text => DeValue::parse_recoverable(text).0.into_inner(),
        };
        value.make_owned();
        (place.clone(), Spanned::new(place, value))
    }

    fn place(&mut self, fitting: usize) -> Range<usize> {
        let start = NOWHERE + self.tried.len();
        self.tried.push(fitting);
        start..start
    }

    /// Takes an unknown key out.
    fn remove(&mut self, table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
        let found = table.keys().find(|key| key.span() == *span).cloned();
        match found {
            Some(key) => {
                let removed = table.remove(&key);
                self.has_removed_names |= removed.as_ref().is_some_and(|value| value.get_ref().is_table());
                removed.is_some()
            }
            None => table.iter_mut().any(|(_, value)| match value.get_mut() {
                DeValue::Table(table) => self.remove(table, span),
                DeValue::Array(items) => items.iter_mut().any(|item| match item.get_mut() {
                    DeValue::Table(table) => self.remove(table, span),
                    _ => false,
                }),
                _ => false,
            }),
        }
    }

    /// Puts the nearest valid name in the place of one that does not exist: of a value, or of the key of a kind.
    fn rename(&mut self, table: &mut DeTable<'_>, span: &Range<usize>, message: &str) -> bool {
        let mut quoted = message.split('`').skip(1).step_by(2);
        let Some(name) = quoted.next() else { return false };
        let Some(valid) = nearest(name, quoted) else {
            return false;
        };
        let place = self.place(FITTING.len());
        let name = || valid.to_owned().into();
        // What was put there itself becomes a kind with settings: those that need none take an empty table, too.
        if is_mended(span) {
            let mut kind = DeTable::new();
            let settings = DeValue::Table(DeTable::new());
            kind.insert(
                Spanned::new(place.clone(), name()),
                Spanned::new(place.clone(), settings),
            );
            return replace(table, span, &Spanned::new(place, DeValue::Table(kind)));
        }
        replace(table, span, &Spanned::new(place.clone(), DeValue::String(name())))
            || rename_key(table, span, &Spanned::new(place, name()))
    }
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// Does `change` to the table at `span`, or to the outermost one.
fn with_table<'i>(
    table: &mut DeTable<'i>,
    span: &Range<usize>,
    is_it: bool,
    change: &mut dyn FnMut(&mut DeTable<'i>),
) -> bool {
    // A table that is there only for the one within it has that one's place, too.
    if table
        .iter_mut()
        .any(|(_, value)| with_table_within(value, span, change))
    {
        return true;
    }
    if is_it {
        change(table);
    }
    is_it
}

fn with_table_within<'i>(
    value: &mut Spanned<DeValue<'i>>,
    span: &Range<usize>,
    change: &mut dyn FnMut(&mut DeTable<'i>),
) -> bool {
    let is_it = value.span() == *span;
    match value.get_mut() {
        DeValue::Table(table) => with_table(table, span, is_it, change),
        DeValue::Array(items) => items.iter_mut().any(|item| with_table_within(item, span, change)),
        _ => false,
    }
}

/// Puts `new` in the place of the value at `span`.
fn replace<'i>(table: &mut DeTable<'i>, span: &Range<usize>, new: &Spanned<DeValue<'i>>) -> bool {
    table.iter_mut().any(|(_, value)| replace_within(value, span, new))
}

fn replace_within<'i>(value: &mut Spanned<DeValue<'i>>, span: &Range<usize>, new: &Spanned<DeValue<'i>>) -> bool {
    let is_within = match value.get_mut() {
        DeValue::Table(table) => replace(table, span, new),
        DeValue::Array(items) => items.iter_mut().any(|item| replace_within(item, span, new)),
        _ => false,
    };
    if is_within || value.span() != *span {
        return is_within;
    }
    *value = new.clone();
    true
}

/// Gives the key at `span` another name.
fn rename_key<'i>(table: &mut DeTable<'i>, span: &Range<usize>, new: &Key<'i>) -> bool {
    let found = table.keys().find(|key| key.span() == *span).cloned();
    if let Some(value) = found.and_then(|key| table.remove(&key)) {
        table.insert(new.clone(), value);
        return true;
    }
    table.iter_mut().any(|(_, value)| match value.get_mut() {
        DeValue::Table(table) => rename_key(table, span, new),
        DeValue::Array(items) => items.iter_mut().any(|item| match item.get_mut() {
            DeValue::Table(table) => rename_key(table, span, new),
            _ => false,
        }),
        _ => false,
    })
}
