//! Subjects: what is measured, named on the command line, started and stopped by the harness.

mod launch;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use sha2::{Digest, Sha256};

use crate::error::HarnessError;

pub(crate) use launch::{Launch, Launched, run_to_end};

/// The kinds a subject can have, for messages.
const KINDS: &str = "profile:NAME, bin:PATH or bin:PATH:PROFILE";

/// A subject as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectSpec {
    /// `profile:NAME`: this build's reference service with that profile.
    Profile(String),
    /// `bin:PATH[:PROFILE]`: any binary that honours the same environment variables.
    Binary {
        /// The executable.
        path: PathBuf,
        /// Value of PROFILE for it.
        profile: Option<String>,
    },
}

impl FromStr for SubjectSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if rest.is_empty() {
            return Err(format!("`{text}` names no subject; a subject is {KINDS}"));
        }
        match kind {
            "profile" => Ok(Self::Profile(rest.to_owned())),
            "bin" => Ok(Self::binary(rest)),
            _ => Err(format!("`{kind}` is not a kind of subject; a subject is {KINDS}")),
        }
    }
}

impl SubjectSpec {
    fn binary(rest: &str) -> Self {
        match rest.rsplit_once(':') {
            Some((path, profile)) => Self::Binary {
                path: path.into(),
                profile: Some(profile.to_owned()),
            },
            None => Self::Binary {
                path: rest.into(),
                profile: None,
            },
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Profile(_) => "profile",
            Self::Binary { .. } => "bin",
        }
    }

    fn profile(&self) -> Option<&str> {
        match self {
            Self::Profile(name) => Some(name),
            Self::Binary { profile, .. } => profile.as_deref(),
        }
    }
}

impl fmt::Display for SubjectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => write!(f, "profile:{name}"),
            Self::Binary { path, profile: None } => write!(f, "bin:{}", path.display()),
            Self::Binary {
                path,
                profile: Some(profile),
            } => write!(f, "bin:{}:{profile}", path.display()),
        }
    }
}

/// A subject that can be started: its binary exists and is known by its hash.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Unique within the run; the key of `summary` in the record.
    pub(crate) name: String,
    pub(crate) spec: SubjectSpec,
    pub(crate) binary: PathBuf,
    pub(crate) binary_sha256: String,
    pub(crate) git: Option<String>,
}

impl Subject {
    /// Finds the binaries of all subjects, and gives each a name that no other has.
    pub(crate) fn resolve_all(specs: &[SubjectSpec], service: Option<&Path>) -> Result<Vec<Self>, HarnessError> {
        let mut subjects: Vec<Self> = Vec::with_capacity(specs.len());
        for spec in specs {
            let mut subject = Self::resolve(spec, service)?;
            if subjects.iter().any(|other| other.name == subject.name) {
                subject.name = format!("{}#{}", subject.name, subjects.len() + 1);
            }
            subjects.push(subject);
        }
        Ok(subjects)
    }

    fn resolve(spec: &SubjectSpec, service: Option<&Path>) -> Result<Self, HarnessError> {
        let binary = match spec {
            SubjectSpec::Binary { path, .. } => path.clone(),
            SubjectSpec::Profile(_) => service.map_or_else(beside_this_binary, |path| Ok(path.to_owned()))?,
        };
        let bytes = std::fs::read(&binary).map_err(|error| missing_binary(spec, &binary, &error))?;
        Ok(Self {
            name: spec.profile().map_or_else(|| spec.to_string(), str::to_owned),
            spec: spec.clone(),
            binary_sha256: hex::encode(Sha256::digest(&bytes)),
            git: launch::version_of(&binary),
            binary,
        })
    }

    /// What the record keeps of it.
    pub(crate) fn to_record(&self) -> measure::record::Subject {
        measure::record::Subject {
            name: self.name.clone(),
            kind: self.spec.kind().to_owned(),
            profile: self.spec.profile().map(str::to_owned),
            git: self.git.clone(),
            binary_sha256: Some(self.binary_sha256.clone()),
            env: self.profile_env(),
        }
    }

    /// The variables that make this subject what it is; addresses of servers are given at each launch.
    pub(crate) fn profile_env(&self) -> std::collections::BTreeMap<String, String> {
        self.spec
            .profile()
            .map(|profile| ("PROFILE".to_owned(), profile.to_owned()))
            .into_iter()
            .collect()
    }
}

/// `insurance-service` is built into the same directory as this command.
fn beside_this_binary() -> Result<PathBuf, HarnessError> {
    let this = std::env::current_exe().map_err(HarnessError::internal)?;
    Ok(this.with_file_name("insurance-service"))
}

fn missing_binary(spec: &SubjectSpec, binary: &Path, error: &std::io::Error) -> HarnessError {
    HarnessError::Unavailable(format!(
        "subject {spec}: cannot read its binary {}: {error}; build it with `cargo build --release -p insurance-service`, \
         or name another with --service PATH",
        binary.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_and_shown_alike() {
        for text in ["profile:phase1", "bin:/opt/service", "bin:/opt/service:phase2"] {
            assert_eq!(text.parse::<SubjectSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_kind_names_the_valid_ones() {
        let error = "brunch:main".parse::<SubjectSpec>().unwrap_err();
        assert!(error.contains("`brunch`") && error.contains("profile:NAME"), "{error}");
        assert!(
            "profile:"
                .parse::<SubjectSpec>()
                .unwrap_err()
                .contains("names no subject")
        );
    }

    #[test]
    fn a_missing_binary_says_how_to_build_it() {
        let spec = SubjectSpec::Profile("phase1".into());
        let error = Subject::resolve_all(&[spec], Some(Path::new("/nonexistent/service"))).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("cargo build --release"), "{error}");
    }

    #[test]
    fn the_same_subject_twice_gets_two_names() {
        let this = std::env::current_exe().unwrap();
        let spec = SubjectSpec::Profile("phase2".into());
        let subjects = Subject::resolve_all(&[spec.clone(), spec], Some(&this)).unwrap();
        assert_eq!(
            [subjects[0].name.as_str(), subjects[1].name.as_str()],
            ["phase2", "phase2#2"]
        );
    }
}
