//! Subjects: what is measured, named on the command line; started and stopped by the harness, or already up.

mod launch;

use std::{
    fmt,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{error::HarnessError, load::Target};

pub(crate) use launch::{Launch, Launched, run_to_end};

/// The kinds a subject can have, for messages.
const KINDS: &str = "profile:NAME, bin:PATH, bin:PATH:PROFILE or url:http://HOST";
/// A service that is up answers a connection attempt far sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// `url:http://HOST[:PORT]`: a service that is already up, and that nothing is known of.
    Url {
        /// Host and port as given, e.g. `127.0.0.1:8000`.
        authority: String,
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
            "url" => Self::url(rest),
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

    fn url(rest: &str) -> Result<Self, String> {
        let url =
            Url::parse(rest).map_err(|error| format!("`{rest}` is no address: {error}; write url:http://HOST:PORT"))?;
        if url.scheme() != "http" {
            return Err(format!("`{rest}`: only http is spoken here, not {}", url.scheme()));
        }
        if url.path() != "/" || url.query().is_some() {
            return Err(format!(
                "`{rest}` has a path: paths belong into the workload, write url:http://HOST:PORT"
            ));
        }
        let host = url.host_str().ok_or_else(|| format!("`{rest}` names no host"))?;
        Ok(Self::Url {
            authority: url
                .port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Profile(_) => "profile",
            Self::Binary { .. } => "bin",
            Self::Url { .. } => "url",
        }
    }

    fn profile(&self) -> Option<&str> {
        match self {
            Self::Profile(name) => Some(name),
            Self::Binary { profile, .. } => profile.as_deref(),
            Self::Url { .. } => None,
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
            Self::Url { authority } => write!(f, "url:http://{authority}"),
        }
    }
}

/// A subject that can be measured.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Unique within the run; the key of `summary` in the record.
    pub(crate) name: String,
    pub(crate) spec: SubjectSpec,
    pub(crate) means: Means,
}

/// How a subject comes to be up.
#[derive(Debug, Clone)]
pub(crate) enum Means {
    /// Its binary is started for each round.
    Launch(Binary),
    /// It is up.
    Running(Target),
}

/// A binary that exists and is known by its hash.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) git: Option<String>,
}

impl Subject {
    /// Finds the binaries and addresses of all subjects, and gives each a name that no other has.
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
        let means = match spec {
            SubjectSpec::Url { authority } => Means::Running(reach(authority)?),
            SubjectSpec::Binary { path, .. } => Means::Launch(binary(spec, path.clone())?),
            SubjectSpec::Profile(_) => {
                let path = service.map_or_else(beside_this_binary, |path| Ok(path.to_owned()))?;
                Means::Launch(binary(spec, path)?)
            }
        };
        Ok(Self {
            name: name(spec),
            spec: spec.clone(),
            means,
        })
    }

    /// What starts it; a subject that is up has none.
    pub(crate) fn binary(&self) -> Option<&Binary> {
        match &self.means {
            Means::Launch(binary) => Some(binary),
            Means::Running(_) => None,
        }
    }

    /// What the record keeps of it.
    pub(crate) fn to_record(&self) -> measure::record::Subject {
        measure::record::Subject {
            name: self.name.clone(),
            kind: self.spec.kind().to_owned(),
            profile: self.spec.profile().map(str::to_owned),
            git: self.binary().and_then(|binary| binary.git.clone()),
            binary_sha256: self.binary().map(|binary| binary.sha256.clone()),
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

fn name(spec: &SubjectSpec) -> String {
    match spec {
        SubjectSpec::Url { authority } => authority.clone(),
        _ => spec.profile().map_or_else(|| spec.to_string(), str::to_owned),
    }
}

fn binary(spec: &SubjectSpec, path: PathBuf) -> Result<Binary, HarnessError> {
    let bytes = std::fs::read(&path).map_err(|error| missing_binary(spec, &path, &error))?;
    Ok(Binary {
        sha256: hex::encode(Sha256::digest(&bytes)),
        git: launch::version_of(&path),
        path,
    })
}

/// The address that a host's name stands for, if something answers there.
fn reach(authority: &str) -> Result<Target, HarnessError> {
    let unavailable = |why: String| HarnessError::Unavailable(format!("subject url:http://{authority}: {why}"));
    let with_port = if authority
        .rsplit(':')
        .next()
        .is_some_and(|port| port.parse::<u16>().is_ok())
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let addresses = with_port
        .to_socket_addrs()
        .map_err(|error| unavailable(error.to_string()))?;
    let mut last = "its name stands for no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => {
                let host = HeaderValue::try_from(authority).map_err(|error| unavailable(error.to_string()))?;
                return Ok(Target { address, host });
            }
            Err(error) => last = format!("nothing answers at {address}: {error}; is it up?"),
        }
    }
    Err(unavailable(last))
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
        for text in [
            "profile:phase1",
            "bin:/opt/service",
            "bin:/opt/service:phase2",
            "url:http://127.0.0.1:8000",
            "url:http://shop.test",
        ] {
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
    fn an_address_that_cannot_be_measured_says_why() {
        let said = |text: &str| text.parse::<SubjectSpec>().unwrap_err();
        assert!(said("url:https://shop.test").contains("only http is spoken here"));
        assert!(said("url:http://shop.test/api").contains("paths belong into the workload"));
        assert!(said("url:shop.test").contains("url:http://HOST:PORT"));
    }

    #[test]
    fn a_service_that_is_not_up_is_unavailable() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let spec: SubjectSpec = format!("url:http://{}", taken.local_addr().unwrap()).parse().unwrap();
        let up = Subject::resolve_all(std::slice::from_ref(&spec), None).unwrap();
        assert_eq!(
            (up[0].to_record().kind.as_str(), up[0].to_record().binary_sha256),
            ("url", None)
        );
        drop(taken);
        let error = Subject::resolve_all(&[spec], None).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("is it up?"), "{error}");
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
