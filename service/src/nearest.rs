//! The name that was probably meant, for messages about one that does not exist.

/// The one of `known` that is spelt most like `wrong`, whatever the case; empty when there is none.
pub(crate) fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> &'k str {
    let wrong = wrong.to_lowercase();
    let similarity = |name: &str| strsim::normalized_damerau_levenshtein(&wrong, &name.to_lowercase());
    let nearest = known.into_iter().min_by(|a, b| similarity(b).total_cmp(&similarity(a)));
    nearest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_whatever_the_case() {
        assert_eq!(nearest("PHSE1", ["planned", "phase1", "phase2"]), "phase1");
        assert_eq!(nearest("hs265", ["HS256", "EdDSA"]), "HS256");
        assert_eq!(nearest("anything", []), "");
    }

    #[test]
    fn a_short_name_is_not_nearer_for_being_short() {
        // Fewer edits lead to `premium`, but they change nearly all of it.
        assert_eq!(nearest("claims", ["premium", "claims_overview"]), "claims_overview");
    }
}
