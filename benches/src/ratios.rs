//! The table of ratios: reads what criterion measured, divides, and says whether the goal is met.

use std::{
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// A figure to be judged: one measurement divided by another.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the comparison.
    pub what: String,
    /// The measurement, and what it is divided by.
    pub figure: f64,
    /// The rival's figure in the same unit.
    pub rival: f64,
    /// `ns`, `us` or `ms`; counts have none.
    pub unit: &'static str,
    /// Goal of the ratio.
    pub goal: Goal,
}

/// Goal of a ratio.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// For information.
    None,
}

impl Goal {
    /// Met, missed, or nothing to meet.
    pub fn verdict(self, ratio: f64) -> &'static str {
        match self.is_met(ratio) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn is_met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(ratio <= limit),
            Self::AtLeast(limit) => Some(ratio >= limit),
            Self::None => None,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
            Self::None => f.write_str("-"),
        }
    }
}

impl Row {
    /// The ratio.
    pub fn ratio(&self) -> f64 {
        self.figure / self.rival
    }

    /// Met, missed, or nothing to meet.
    pub fn verdict(&self) -> &'static str {
        self.goal.verdict(self.ratio())
    }
}

/// Where criterion keeps its figures: `CRITERION_HOME`, or `criterion` in the target directory.
pub fn criterion_home() -> PathBuf {
    let from_env = |name| std::env::var_os(name).map(PathBuf::from);
    from_env("CRITERION_HOME")
        .or_else(|| from_env("CARGO_TARGET_DIR").map(|target| target.join("criterion")))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion"))
}

/// The median of a benchmark in nanoseconds, if this machine has measured it.
pub fn median_ns(home: &Path, benchmark: &str) -> Option<f64> {
    let text = fs::read_to_string(home.join(benchmark).join("new/estimates.json")).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

/// The table as text.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$} {:>12} {:>12}    {:>8} {:>8}\n",
        "ratio", "figure", "rival", "ratio", "goal"
    );
    for row in rows {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{:width$} {:>12.1} {:>12.1} {:2} {:>8.2} {:>8} {}",
            row.what,
            row.figure,
            row.rival,
            row.unit,
            row.ratio(),
            row.goal.to_string(),
            row.verdict()
        );
    }
    text
}

/// The table as JSON, with ratio and verdict written out.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "what": row.what,
                "figure": row.figure,
                "rival": row.rival,
                "unit": row.unit,
                "ratio": row.ratio(),
                "goal": row.goal.to_string(),
                "verdict": row.verdict(),
            })
        })
        .collect();
    serde_json::to_string_pretty(&serde_json::json!({ "schema_version": 1, "ratios": rows }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figure: f64, rival: f64, goal: Goal) -> Row {
        Row {
            what: "hit".to_owned(),
            figure,
            rival,
            unit: "ns",
            goal,
        }
    }

    #[test]
    fn a_goal_is_met_at_its_limit() {
        assert_eq!(row(125.0, 100.0, Goal::AtMost(1.25)).verdict(), "met");
        assert_eq!(row(126.0, 100.0, Goal::AtMost(1.25)).verdict(), "MISSED");
        assert_eq!(row(49.0, 1.0, Goal::AtLeast(50.0)).verdict(), "MISSED");
        assert_eq!(row(1.0, 2.0, Goal::None).verdict(), "");
    }

    #[test]
    fn table_and_json_show_the_ratio() {
        let rows = [row(150.0, 100.0, Goal::AtMost(1.25))];
        assert!(table(&rows).contains("1.50") && table(&rows).contains("MISSED"));
        assert!(json(&rows).expect("encodes").contains("\"ratio\": 1.5"));
    }

    #[test]
    fn medians_are_read_where_criterion_writes_them() {
        let home = std::env::temp_dir().join(format!("ratios-{}", std::process::id()));
        let folder = home.join("l1_hit/moka/new");
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join("estimates.json"), r#"{"median":{"point_estimate":12.5}}"#).expect("writable");
        assert_eq!(median_ns(&home, "l1_hit/moka"), Some(12.5));
        assert_eq!(median_ns(&home, "l1_hit/none"), None);
        fs::remove_dir_all(&home).expect("removable");
    }
}
