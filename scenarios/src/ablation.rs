//! Ablation files: the features of a subject, each with the environment variables that switch it off alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::error::InputError;
use crate::source::{Findings, Named, Source, named};

/// An ablation file that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ablation {
    /// At least one, in the order of the file.
    pub features: Vec<Feature>,
}

/// Something that a subject does, and can be told not to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its name in reports.
    pub name: String,
    /// One line about it.
    pub what: String,
    /// Variables, at least one, that switch it off.
    pub off: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAblation {
    #[serde(deserialize_with = "named")]
    features: Named<RawFeature>,
}

/// A feature as it is written, here and in subject files.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFeature {
    what: String,
    off: Spanned<BTreeMap<String, String>>,
}

impl Ablation {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn load(file: &Path) -> Result<Self, InputError> {
        checked(&Source::read(file)?)
    }

    /// Reads and checks the text of a file, whose name only stands in error messages.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InputError> {
        checked(&Source::from_text(file, text.to_owned()))
    }
}

fn checked(source: &Source) -> Result<Ablation, InputError> {
    let (raw, mut findings) = source.read_into::<RawAblation>()?;
    findings.require(!raw.features.is_empty(), &(0..0), || {
        "there are no [features.NAME]: nothing could be switched off".to_owned()
    });
    let features = check_features(raw.features, &mut findings);
    findings.finish(Ablation { features })
}

pub(crate) fn check_features(raw: Named<RawFeature>, findings: &mut Findings<'_>) -> Vec<Feature> {
    for (name, feature) in &raw {
        findings.require(!feature.off.get_ref().is_empty(), &feature.off.span(), || {
            format!("`off` of `{}` names no variable", name.get_ref())
        });
    }
    let features = raw.into_iter().map(|(name, feature)| Feature {
        name: name.into_inner(),
        what: feature.what,
        off: feature.off.into_inner(),
    });
    features.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Ablation, String> {
        Ablation::parse(Path::new("a.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_shipped_file_names_its_switches() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ablations/cache-extras.toml");
        let ablation = Ablation::load(&file).unwrap_or_else(|error| panic!("{error}"));
        let names: Vec<&str> = ablation.features.iter().map(|feature| feature.name.as_str()).collect();
        assert_eq!(names, ["cache warming", "verification sampler"]);
        assert_eq!(ablation.features[1].off["CACHE_VERIFY_ONE_IN"], "0");
    }

    #[test]
    fn mistakes_have_their_line() {
        assert_eq!(
            parse("[features.a]\nwhat = \"x\"\noff = {}\n").unwrap_err(),
            "a.toml:3: `off` of `a` names no variable"
        );
        let unknown = parse("[features.a]\nwhat = \"x\"\nof = { B = \"1\" }\n").unwrap_err();
        assert!(unknown.contains("a.toml:3: unknown key `of`"), "{unknown}");
        assert!(
            parse("[features]\n")
                .unwrap_err()
                .contains("nothing could be switched off")
        );
    }
}
