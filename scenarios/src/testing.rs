//! Workloads for tests: the text of a small valid one, of which a test replaces what it is about.
//!
//! What belongs here: what the tests of several packages need. What does not: anything that the product uses; this
//! module exists only with the feature `testing`, which packages switch on for their tests alone.
//!
//! ```
//! use scenarios::testing::WorkloadText;
//!
//! let two_users = WorkloadText {
//!     model: "[model.closed]\nusers = 2\nramp_s = 0\n",
//!     ..WorkloadText::default()
//! };
//! assert_eq!(two_users.parsed().models.closed.unwrap().users, 2);
//! ```

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::extract::Answered;
use crate::payload::Body;
use crate::vars::Vars;
use crate::workload::Workload;

/// The text of a workload, part after part in the order of the fields; `Display` and `to_string` write it.
///
/// The default has one user who requests `page`, at `/`, again and again, and takes seconds.
#[derive(Debug, Clone, Copy)]
pub struct WorkloadText<'a> {
    /// The name.
    pub name: &'a str,
    /// Seconds measured.
    pub measure_s: f64,
    /// Seconds for what is in flight at the end.
    pub drain_s: f64,
    /// Blocks.
    pub blocks: u32,
    /// The tables `[model.closed]` and `[model.open]`.
    pub model: &'a str,
    /// The keys of `[warm_up]`.
    pub warm_up: &'a str,
    /// The keys of `[quick]`.
    pub quick: &'a str,
    /// All other tables.
    pub rest: &'a str,
}

impl Default for WorkloadText<'_> {
    fn default() -> Self {
        Self {
            name: "small",
            measure_s: 1.0,
            drain_s: 1.0,
            blocks: 1,
            model: "[model.closed]\nusers = 1\nramp_s = 0\n",
            warm_up: "duration_s = 0.2\nthink_time_scale = 1\n",
            quick: "warm_up_s = 0.2\nmeasure_s = 1\nblocks = 1\n",
            rest: "[endpoints.page]\npath = \"/\"\n[journeys.look]\nweight = 1\nsteps = [{ endpoint = \"page\" }]\n",
        }
    }
}

impl fmt::Display for WorkloadText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            measure_s,
            drain_s,
            blocks,
            ..
        } = self;
        writeln!(
            f,
            "name = \"{name}\"\nmeasure_s = {measure_s}\ndrain_s = {drain_s}\nblocks = {blocks}"
        )?;
        f.write_str(self.model)?;
        write!(f, "[warm_up]\n{}[quick]\n{}{}", self.warm_up, self.quick, self.rest)
    }
}

impl WorkloadText<'_> {
    /// The workload.
    ///
    /// # Panics
    /// With its mistakes, if it has any.
    pub fn parsed(&self) -> Workload {
        Workload::parse(Path::new("w.toml"), &self.to_string()).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The text of a body with the values of `vars`.
///
/// # Panics
/// When it is no UTF-8.
pub fn body_text(body: &Body, vars: &Vars) -> String {
    let (mut scratch, mut bytes) = (String::new(), Vec::new());
    body.render(vars, &mut scratch, &mut bytes);
    String::from_utf8(bytes).expect("a body of texts")
}

/// An answer that is nothing but its JSON body.
#[derive(Debug)]
pub struct JsonAnswer(pub Value);

impl Answered for JsonAnswer {
    fn header(&self, _name: &str) -> Option<&str> {
        None
    }

    fn cookie(&self, _name: &str) -> Option<&str> {
        None
    }

    fn body(&self) -> &[u8] {
        &[]
    }

    fn json(&self) -> Option<&Value> {
        Some(&self.0)
    }
}

/// `text` with its first `from` replaced by `to`.
///
/// # Panics
/// When there is no `from`: the test would be about something else than it says.
pub fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to edit: {from}");
    text.replacen(from, to, 1)
}
