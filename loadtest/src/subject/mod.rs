//! Subjects: what is measured, named on the command line; started and stopped by the harness, or already up.

mod git;
mod launch;
mod service;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use load::Target;
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::error::HarnessError;
use git::Revision;

pub(crate) use git::keep_out_of_git;
pub(crate) use launch::{Environment, Launched, run_to_end};
pub(crate) use service::{REFERENCE, Service, Value};

/// The kinds a subject can have, for messages.
const KINDS: &str = "profile:NAME, git:REV, git:REV:PROFILE, bin:PATH, bin:PATH:PROFILE or url:http://HOST";
/// A service that is up answers a connection attempt far sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A subject as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectSpec {
    /// `profile:NAME`: this build's reference service with that profile.
    Profile(String),
    /// `git:REV[:PROFILE]`: the reference service as it was at a revision of this repository, built by the harness.
    Git {
        /// Branch, tag, hash or anything else that git takes for a commit.
        revision: String,
        /// Value of PROFILE for it.
        profile: Option<String>,
    },
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
            "git" => {
                let (revision, profile) = with_profile(rest);
                Ok(Self::Git { revision, profile })
            }
            "bin" => {
                let (path, profile) = with_profile(rest);
                let path = path.into();
                Ok(Self::Binary { path, profile })
            }
            "url" => Self::url(rest),
            _ => Err(format!("`{kind}` is not a kind of subject; a subject is {KINDS}")),
        }
    }
}

impl SubjectSpec {
    fn url(rest: &str) -> Result<Self, String> {
        let url =
            Url::parse(rest).map_err(|error| format!("`{rest}` is no address: {error}; write url:http://HOST:PORT"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!(
                "`{}` has a user or a password, which would stand in the record: write them into the workload, as \
                 `headers = {{ authorization = \"Basic ...\" }}` of its requests (the base64 of user:password)",
                without_credentials(url.clone())
            ));
        }
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

    /// Kind, name and profile of "kind:name:profile".
    fn parts(&self) -> (&'static str, String, Option<&str>) {
        match self {
            Self::Profile(name) => ("profile", name.clone(), None),
            Self::Git { revision, profile } => ("git", revision.clone(), profile.as_deref()),
            Self::Binary { path, profile } => ("bin", path.display().to_string(), profile.as_deref()),
            Self::Url { authority } => ("url", format!("http://{authority}"), None),
        }
    }

    fn profile(&self) -> Option<&str> {
        match self {
            Self::Profile(name) => Some(name),
            _ => self.parts().2,
        }
    }
}

impl fmt::Display for SubjectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name, profile) = self.parts();
        write!(f, "{kind}:{name}{}", suffix(profile))
    }
}

/// An address as it may be shown.
fn without_credentials(mut url: Url) -> Url {
    // These fail only for addresses that have no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// What stands before the last colon, and the profile after it.
fn with_profile(text: &str) -> (String, Option<String>) {
    let (before, profile) = text
        .rsplit_once(':')
        .map_or((text, None), |(before, profile)| (before, Some(profile)));
    (before.to_owned(), profile.map(str::to_owned))
}

fn suffix(profile: Option<&str>) -> String {
    profile.map(|profile| format!(":{profile}")).unwrap_or_default()
}

/// A subject that can be measured.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Unique within the run; the key of `summary` in the record.
    pub(crate) name: String,
    pub(crate) spec: SubjectSpec,
    pub(crate) means: Means,
    /// Variables given on the command line, beyond its profile.
    pub(crate) variables: Environment,
}

/// `NAME=VALUE`: a variable of a subject's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("`{text}` is no variable; write NAME=VALUE"))?;
        if REFERENCE.gives(name) {
            return Err(format!("{name} is given by the harness at each launch"));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
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
    /// How it is launched.
    pub(crate) service: &'static Service,
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) git: Option<String>,
}

/// Meaning of the name of a subject, before anything long is done about it.
enum Found {
    Means(Means),
    Revision(Revision),
}

impl Found {
    async fn find(
        spec: &SubjectSpec,
        service: Option<&Path>,
        announce: &mut dyn FnMut(&str),
    ) -> Result<Self, HarnessError> {
        Ok(Self::Means(match spec {
            SubjectSpec::Url { authority } => Means::Running(reach(authority, announce).await?),
            SubjectSpec::Binary { path, .. } => Means::Launch(binary(spec, path.clone()).await?),
            SubjectSpec::Profile(_) => {
                let path = service.map_or_else(beside_this_binary, |path| Ok(path.to_owned()))?;
                Means::Launch(binary(spec, path).await?)
            }
            SubjectSpec::Git { revision, .. } => return Ok(Self::Revision(Revision::find(Path::new("."), revision)?)),
        }))
    }

    async fn means(
        self,
        spec: &SubjectSpec,
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<Means, HarnessError> {
        match self {
            Self::Means(means) => Ok(means),
            Self::Revision(revision) => {
                let path = revision.binary(announce, stop).await?;
                Ok(Means::Launch(binary(spec, path).await?))
            }
        }
    }
}

impl Subject {
    /// Finds the binaries and addresses of all subjects, builds those of revisions, and gives each a name that no other
    /// has.
    ///
    /// # Errors
    /// When one is not there or does not build, and once `stop` is cancelled.
    pub(crate) async fn resolve_all(
        specs: &[SubjectSpec],
        service: Option<&Path>,
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<Vec<Self>, HarnessError> {
        let mut found = Vec::with_capacity(specs.len());
        for spec in specs {
            found.push(unless_stopped(Found::find(spec, service, announce), stop).await?);
        }
        // Building takes minutes: only after every name was found to mean something.
        let mut subjects: Vec<Self> = Vec::with_capacity(specs.len());
        for (spec, found) in specs.iter().zip(found) {
            let mut name = name(spec);
            if subjects.iter().any(|other| other.name == name) {
                name = format!("{name}#{}", subjects.len() + 1);
            }
            let means = unless_stopped(found.means(spec, announce, stop), stop).await?;
            let spec = spec.clone();
            subjects.push(Self {
                name,
                spec,
                means,
                variables: Environment::new(),
            });
        }
        Ok(subjects)
    }

    /// The binary that starts it; a subject that is up has none.
    pub(crate) fn binary(&self) -> Option<&Binary> {
        match &self.means {
            Means::Launch(binary) => Some(binary),
            Means::Running(_) => None,
        }
    }

    /// This subject with further variables.
    ///
    /// # Errors
    /// For a subject that is not launched here.
    pub(crate) fn with_variables(mut self, variables: &[Variable]) -> Result<Self, HarnessError> {
        if self.binary().is_none() && !variables.is_empty() {
            return Err(HarnessError::Usage(format!(
                "{} is up already: its variables cannot be set",
                self.spec
            )));
        }
        let pairs = variables.iter().map(|one| (one.name.clone(), one.value.clone()));
        self.variables.extend(pairs);
        Ok(self)
    }

    /// This subject as the record keeps it.
    pub(crate) fn to_record(&self) -> measure::record::Subject {
        measure::record::Subject {
            name: self.name.clone(),
            kind: self.spec.parts().0.to_owned(),
            profile: self.spec.profile().map(str::to_owned),
            git: self.binary().and_then(|binary| binary.git.clone()),
            binary_sha256: self.binary().map(|binary| binary.sha256.clone()),
            env: self.settings(),
        }
    }

    /// The variables that make this subject what it is; addresses of servers are given at each launch.
    pub(crate) fn settings(&self) -> Environment {
        let service = self.binary().map_or(&REFERENCE, |binary| binary.service);
        let profile = self.spec.profile();
        let profile = profile.map(|profile| (service.profile_variable.to_owned(), profile.to_owned()));
        profile.into_iter().chain(self.variables.clone()).collect()
    }
}

/// The outcome of `work`. A signal drops it, and with it what it started.
async fn unless_stopped<T>(
    work: impl Future<Output = Result<T, HarnessError>>,
    stop: &CancellationToken,
) -> Result<T, HarnessError> {
    tokio::select! {
        done = work => done,
        () = stop.cancelled() => Err(HarnessError::Interrupted),
    }
}

fn name(spec: &SubjectSpec) -> String {
    match spec {
        SubjectSpec::Url { authority } => authority.clone(),
        // Both sides of a comparison of branches have the same profile, if any.
        SubjectSpec::Git { revision, profile } => format!("{revision}{}", suffix(profile.as_deref())),
        _ => spec.profile().map_or_else(|| spec.to_string(), str::to_owned),
    }
}

async fn binary(spec: &SubjectSpec, path: PathBuf) -> Result<Binary, HarnessError> {
    let bytes = std::fs::read(&path).map_err(|error| missing_binary(spec, &path, &error))?;
    Ok(Binary {
        service: &REFERENCE,
        sha256: hex::encode(Sha256::digest(&bytes)),
        git: launch::version_of(&path).await,
        path,
    })
}

/// The addresses that a host's name stands for, those where something answers; the others are announced.
async fn reach(authority: &str, announce: &mut dyn FnMut(&str)) -> Result<Target, HarnessError> {
    let unavailable = |why: String| HarnessError::Subject(format!("subject url:http://{authority}: {why}"));
    let port = authority.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let with_port = port.map_or_else(|| format!("{authority}:80"), |_| authority.to_owned());
    let found = tokio::net::lookup_host(with_port).await;
    let (mut addresses, mut silent) = (Vec::new(), Vec::new());
    for address in found.map_err(|error| unavailable(error.to_string()))? {
        match connects(address).await {
            Ok(()) => addresses.push(address),
            Err(why) => silent.push(format!("nothing answers at {address}: {why}")),
        }
    }
    if addresses.is_empty() {
        return Err(unavailable(if silent.is_empty() {
            "its name stands for no address".to_owned()
        } else {
            format!("{}; is it up?", silent.join("; "))
        }));
    }
    for line in &silent {
        announce(line);
    }
    Ok(Target {
        addresses,
        host: authority.to_owned(),
    })
}

async fn connects(address: SocketAddr) -> Result<(), String> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
    let connected = connecting
        .await
        .map_err(|_| format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))?;
    connected.map(drop).map_err(|error| error.to_string())
}

/// The service is built into the same directory as this command.
fn beside_this_binary() -> Result<PathBuf, HarnessError> {
    let this = std::env::current_exe().map_err(HarnessError::internal)?;
    Ok(this.with_file_name(REFERENCE.package))
}

fn missing_binary(spec: &SubjectSpec, binary: &Path, error: &std::io::Error) -> HarnessError {
    HarnessError::Subject(format!(
        "subject {spec}: cannot read its binary {}: {error}; build it with `cargo build --release -p {}`, or name \
         another with --service PATH",
        binary.display(),
        REFERENCE.package
    ))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    async fn resolve(specs: &[SubjectSpec], service: Option<&Path>) -> Result<Vec<Subject>, HarnessError> {
        Subject::resolve_all(specs, service, &mut |_| (), &CancellationToken::new()).await
    }

    #[test]
    fn subjects_are_read_and_shown_alike() {
        for text in [
            "profile:phase1",
            "git:feature/faster",
            "git:HEAD~3:phase2",
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
        let secret = said("url:http://ann:pass%20word@shop.test");
        assert!(
            secret.contains("authorization = \"Basic ...\"") && !secret.contains("ann") && !secret.contains("%20"),
            "{secret}"
        );
        assert!(said("url:http://ann@shop.test").contains("has a user or a password"));
    }

    #[test]
    fn variables_are_read_and_those_of_the_harness_refused() {
        let faults: Variable = "FAULTS=sleep:premium:2ms".parse().unwrap();
        assert_eq!(
            (faults.name.as_str(), faults.value.as_str()),
            ("FAULTS", "sleep:premium:2ms")
        );
        for (text, why) in [
            ("FAULTS", "NAME=VALUE"),
            ("=x", "NAME=VALUE"),
            ("REDIS_URL=x", "given by the harness"),
        ] {
            let error = text.parse::<Variable>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[tokio::test]
    async fn variables_are_part_of_a_subject_that_is_launched() {
        let this = std::env::current_exe().unwrap();
        let spec = SubjectSpec::Profile("phase2".into());
        let subjects = resolve(&[spec], Some(&this)).await.unwrap();
        let variable: Variable = "QUERIES=phase1".parse().unwrap();
        let subject = subjects[0].clone().with_variables(&[variable]).unwrap();
        let env = subject.to_record().env;
        assert_eq!((env["PROFILE"].as_str(), env["QUERIES"].as_str()), ("phase2", "phase1"));
    }

    #[tokio::test]
    async fn a_service_that_is_not_up_is_unavailable() {
        // Held until the end, so that nobody else is given the port; it listens only for a while.
        let held = TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let spec: SubjectSpec = format!("url:http://{}", held.local_addr().unwrap()).parse().unwrap();
        let error = resolve(std::slice::from_ref(&spec), None).await.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("is it up?"), "{error}");
        let _listening = held.listen(8).unwrap();
        let up = resolve(std::slice::from_ref(&spec), None).await.unwrap();
        assert_eq!(
            (up[0].to_record().kind.as_str(), up[0].to_record().binary_sha256),
            ("url", None)
        );
    }

    /// Processes that run a script.
    fn pids_of(script: &Path) -> Vec<String> {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let names = all.filter_map(|entry| entry.file_name().into_string().ok());
        let runs = |pid: &String| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&*script.to_string_lossy())
        };
        names.filter(|name| name.parse::<u32>().is_ok()).filter(runs).collect()
    }

    /// 1. A script that passes no argument on is asked for its version, and serves. 2. The user interrupts. 3. It is
    /// gone, and so is what it started.
    #[tokio::test]
    async fn a_script_that_serves_instead_of_telling_its_version_holds_nobody() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/serves_always.sh");
        let spec: SubjectSpec = format!("bin:{}", script.display()).parse().unwrap();
        let stop = CancellationToken::new();
        let mut unheard = |_: &str| ();
        let resolving = Subject::resolve_all(std::slice::from_ref(&spec), None, &mut unheard, &stop);
        let interrupting = async {
            let mut patience = stack::wait::Patience::new(Duration::from_secs(30));
            while pids_of(&script).is_empty() {
                patience.pause().await.unwrap();
            }
            stop.cancel();
        };
        let (resolved, ()) = tokio::join!(resolving, interrupting);
        assert!(matches!(resolved, Err(HarnessError::Interrupted)));
        assert_eq!(pids_of(&script), [""; 0]);
    }

    #[tokio::test]
    async fn a_missing_binary_says_how_to_build_it() {
        let spec = SubjectSpec::Profile("phase1".into());
        let error = resolve(&[spec], Some(Path::new("/nonexistent/service")))
            .await
            .unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains("cargo build --release"), "{error}");
    }

    #[tokio::test]
    async fn the_same_subject_twice_gets_two_names() {
        let this = std::env::current_exe().unwrap();
        let spec = SubjectSpec::Profile("phase2".into());
        let subjects = resolve(&[spec.clone(), spec], Some(&this)).await.unwrap();
        assert_eq!(
            [subjects[0].name.as_str(), subjects[1].name.as_str()],
            ["phase2", "phase2#2"]
        );
    }
}
