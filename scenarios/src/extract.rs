//! Variables that are taken from answers, for later requests.

use serde_json::Value;
use toml::Spanned;

use crate::number;
use crate::source::Findings;
use crate::syntax::check_json_pointer;
use crate::vars::Vars;

/// A variable taken from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The variable's name.
    pub var: String,
    /// The place of its value in [`Vars`].
    pub slot: usize,
    /// JSON pointer (RFC 6901) into the answer's body.
    pub pointer: String,
}

impl Extract {
    /// Checks what a file says of a variable whose slot is known.
    pub(crate) fn check(
        var: &Spanned<String>,
        pointer: &Spanned<String>,
        slot: usize,
        findings: &mut Findings<'_>,
    ) -> Self {
        check_json_pointer(pointer, findings);
        Self {
            var: var.get_ref().clone(),
            slot,
            pointer: pointer.get_ref().clone(),
        }
    }
}

/// Sets the variables that are taken from an answer's JSON body.
///
/// # Errors
/// In words, when there is no text, number or boolean at one of the pointers.
pub fn keep(extract: &[Extract], body: &Value, vars: &mut Vars) -> Result<(), String> {
    for Extract { var, slot, pointer } in extract {
        let found = body.pointer(pointer);
        if found.is_some_and(number::may_be_rounded) {
            return Err(format!(
                "a number of more digits than can be handed on exactly at `{pointer}`, which `{var}` is taken from"
            ));
        }
        let scalar = found.filter(|value| value.is_string() || value.is_number() || value.is_boolean());
        let value = scalar.ok_or_else(|| {
            let what = if found.is_some() {
                "something that is no text, number or boolean"
            } else {
                "nothing"
            };
            format!("{what} at `{pointer}`, which `{var}` is taken from")
        })?;
        vars.set(*slot, value.clone());
    }
    Ok(())
}
