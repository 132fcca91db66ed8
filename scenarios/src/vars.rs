//! Variables of a workload: names while a file is checked, numbered slots while load is driven.

use serde_json::Value;
use toml::Spanned;

use crate::source::Findings;

/// The values of one user's variables, by slot.
///
/// Made once per user (a clone of what the setup left), then overwritten by each journey's draws and by what its steps
/// take from their answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vars {
    values: Vec<Value>,
}

impl Vars {
    /// `slots` variables without a value (JSON `null`).
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            values: vec![Value::Null; slots],
        }
    }

    /// Sets a variable. Slots come from the feeders and the [`crate::Extract`]s of the same workload.
    pub fn set(&mut self, slot: usize, value: Value) {
        self.values[slot] = value;
    }

    /// The value in a slot; `null` until it was set.
    pub fn get(&self, slot: usize) -> &Value {
        &self.values[slot]
    }
}

/// The variables that are defined so far.
#[derive(Debug, Default)]
pub(crate) struct VarNames {
    /// In the order of their slots.
    names: Vec<String>,
    /// Tables that could not be read: nobody knows which columns they have.
    unread: Vec<String>,
}

impl VarNames {
    /// Defines a variable and returns its slot. A name that exists is a mistake.
    pub(crate) fn define(&mut self, name: &Spanned<String>, findings: &mut Findings<'_>) -> usize {
        let taken = self.names.contains(name.get_ref());
        findings.require(!taken, &name.span(), || format!("variable `{name}` is defined twice"));
        self.names.push(name.get_ref().clone());
        self.names.len() - 1
    }

    /// Defines the columns of a table that could not be read: the table itself is the mistake, not what uses it.
    pub(crate) fn define_unread(&mut self, table: &str) {
        self.unread.push(format!("{table}."));
    }

    /// Whether `name` is a column of a table that could not be read.
    fn is_unread(&self, name: &str) -> bool {
        self.unread.iter().any(|table| name.starts_with(table))
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The name of a slot.
    pub(crate) fn name(&self, slot: usize) -> &str {
        &self.names[slot]
    }

    /// The slot of a name.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|defined| defined == name)
    }
}

/// Names that begin like this are variables of the environment, read when the file is.
pub(crate) const ENVIRONMENT: &str = "env.";

/// Meaning of a name in a template.
pub(crate) enum Known {
    /// A variable of the load.
    Slot(usize),
    /// A text that is known already.
    Fixed(String),
}

/// Context in which a template is compiled: the variables that it may use, and the list for its mistakes.
pub(crate) struct Scope<'a, 's> {
    pub(crate) names: &'a VarNames,
    pub(crate) findings: &'a mut Findings<'s>,
}

impl Scope<'_, '_> {
    /// What a variable stands for; an unknown one is noted.
    pub(crate) fn find(&mut self, name: &str, at: &std::ops::Range<usize>) -> Option<Known> {
        match name.strip_prefix(ENVIRONMENT) {
            Some(variable) if self.names.slot(name).is_none() => self.environment(variable, at).map(Known::Fixed),
            _ => self.slot(name, at).map(Known::Slot),
        }
    }

    /// A variable of the environment, whose value must stand in no record.
    fn environment(&mut self, variable: &str, at: &std::ops::Range<usize>) -> Option<String> {
        match std::env::var(variable) {
            Ok(value) => {
                self.findings.keep_secret(&format!("{ENVIRONMENT}{variable}"), &value);
                Some(value)
            }
            Err(error) => {
                let what = match error {
                    std::env::VarError::NotPresent => format!("the environment has no variable `{variable}`"),
                    std::env::VarError::NotUnicode(_) => {
                        format!("the variable `{variable}` of the environment is no text")
                    }
                };
                let hint = format!("set it: `export {variable}=...`");
                self.findings.add(at, what, Some(hint));
                None
            }
        }
    }

    /// The slot of a variable; an unknown one is noted with the nearest that exists.
    fn slot(&mut self, name: &str, at: &std::ops::Range<usize>) -> Option<usize> {
        let slot = self.names.slot(name);
        if slot.is_none() && !self.names.is_unread(name) {
            self.findings
                .unknown("variable", name, at, self.names.names.iter().map(String::as_str));
        }
        slot
    }
}
