//! The nearest valid name for one that is not valid.

/// From this similarity (0 to 1) on, a name is taken for a slip of the pen: `p95_ms` against `http.p95_ms` is .55,
/// `dashboard` against `dashboard_summary` .53.
const SIMILAR: f64 = 0.5;

/// Names listed when none is similar: enough for any table of these formats, short enough for one line.
const MAX_LISTED: usize = 12;

/// Advice for the name `wrong`: "did you mean `NEAREST`?" where one of `valid` is similar (normalized
/// Damerau-Levenshtein, whatever the case), else the names that are valid, nearest first. `None` if there are none.
pub fn did_you_mean<'v>(wrong: &str, valid: impl IntoIterator<Item = &'v str>) -> Option<String> {
    let wrong = wrong.to_lowercase();
    let mut ranked: Vec<(f64, &str)> = valid.into_iter().map(|name| (similarity(&wrong, name), name)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let &(best, nearest) = ranked.first()?;
    if best >= SIMILAR {
        return Some(format!("did you mean `{nearest}`?"));
    }
    let listed: Vec<String> = ranked
        .iter()
        .take(MAX_LISTED)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    Some(format!("valid here, nearest first: {}", listed.join(", ")))
}

/// The one of `valid` that is most like `wrong`.
pub(crate) fn nearest<'v>(wrong: &str, valid: impl IntoIterator<Item = &'v str>) -> Option<&'v str> {
    let wrong = wrong.to_lowercase();
    let ranked = valid.into_iter().map(|name| (similarity(&wrong, name), name));
    ranked.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn similarity(wrong: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(wrong, &name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_slip_gets_the_nearest_name_and_anything_else_the_list() {
        let valid = ["endpoint", "think", "weight"];
        assert_eq!(did_you_mean("thnik", valid).as_deref(), Some("did you mean `think`?"));
        assert_eq!(did_you_mean("WEIGHT", valid).as_deref(), Some("did you mean `weight`?"));
        assert_eq!(
            did_you_mean("zzz", valid).as_deref(),
            Some("valid here, nearest first: `endpoint`, `think`, `weight`")
        );
        assert_eq!(did_you_mean("zzz", []), None);
    }
}
