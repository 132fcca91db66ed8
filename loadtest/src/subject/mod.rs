//! Subjects: what is measured, named on the command line; started and stopped by the harness, or already up.

mod git;
mod image;
mod launch;
mod places;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use load::Target;
use scenarios::{HttpVersion, Placeholder, Service};
use tokio_util::sync::CancellationToken;

use crate::{
    address::{Address, WayArgs},
    error::HarnessError,
};
use git::Revision;
use image::Image;

pub(crate) use git::{copy, keep_out_of_git};
pub(crate) use launch::{Environment, Launched, StartedServer, start_server};
pub(crate) use places::Places;

/// The kinds a subject can have, for messages.
const KINDS: &str =
    "profile:NAME, git:REV, git:REV:PROFILE, bin:PATH, bin:PATH:PROFILE, image:NAME:TAG or url:http://HOST";

/// A subject as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectSpec {
    /// `profile:NAME`: the service as the working tree has it, with that profile.
    Profile(String),
    /// `git:REV[:PROFILE]`: the service as it was at a revision of this repository, built by the harness.
    Git {
        /// Branch, tag, hash or anything else that git takes for a commit; `.` is the working tree.
        revision: String,
        /// Its profile.
        profile: Option<String>,
    },
    /// `bin:PATH[:PROFILE]`: a program in the place of the one that the subject file starts, or a folder in the place
    /// of its build.
    Binary {
        /// The executable, or the folder.
        path: PathBuf,
        /// Its profile.
        profile: Option<String>,
    },
    /// `image:NAME:TAG`: a container in the place of a build.
    Image(String),
    /// `url:http://HOST[:PORT]`, `https` and a path too: a service that is already up, and that nothing is known of.
    Url(Address),
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
            "image" => Ok(Self::Image(rest.to_owned())),
            "url" => rest.parse().map(Self::Url),
            _ => Err(format!("`{kind}` is not a kind of subject; a subject is {KINDS}")),
        }
    }
}

impl SubjectSpec {
    /// Kind, name and profile of "kind:name:profile".
    fn parts(&self) -> (&'static str, String, Option<&str>) {
        match self {
            Self::Profile(name) => ("profile", name.clone(), None),
            Self::Git { revision, profile } => ("git", revision.clone(), profile.as_deref()),
            Self::Binary { path, profile } => ("bin", path.display().to_string(), profile.as_deref()),
            Self::Image(name) => ("image", name.clone(), None),
            Self::Url(address) => ("url", address.to_string(), None),
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
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// How a subject comes to be up.
#[derive(Debug, Clone)]
pub(crate) enum Means {
    /// It is started for each round.
    Launch(Build),
    /// It is up.
    Running(Target),
}

/// Something that can be launched: it exists, and is known by its hash.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    /// How it is launched.
    pub(crate) service: Arc<Service>,
    /// Where its commands run.
    pub(crate) dir: PathBuf,
    /// Takes the place of the program that the subject file starts.
    pub(crate) program: Option<PathBuf>,
    /// Takes the place of the build.
    pub(crate) image: Option<Image>,
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
        service: &Arc<Service>,
        (way, version): (&WayArgs, HttpVersion),
        announce: &mut dyn FnMut(&str),
    ) -> Result<Self, HarnessError> {
        if let Some(profile) = spec.profile() {
            service
                .profile(profile)
                .map_err(|why| HarnessError::Usage(format!("subject {spec}: {why}")))?;
        }
        let revision = match spec {
            SubjectSpec::Url(address) => {
                let target = way.reach(address, version, announce).await?;
                return Ok(Self::Means(Means::Running(target)));
            }
            SubjectSpec::Binary { path, .. } => {
                return Ok(Self::Means(Means::Launch(given(spec, service, path).await?)));
            }
            SubjectSpec::Image(name) => {
                return Ok(Self::Means(Means::Launch(image(service, name, announce).await?)));
            }
            SubjectSpec::Profile(_) if service.build.built.is_some() => {
                return Ok(Self::Means(Means::Launch(built(spec, service).await?)));
            }
            SubjectSpec::Profile(_) => git::WORKING_TREE,
            SubjectSpec::Git { revision, .. } => revision,
        };
        let revision = Revision::find(Path::new("."), revision, announce)?;
        Ok(Self::Revision(revision))
    }

    async fn means(
        self,
        service: &Arc<Service>,
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<Means, HarnessError> {
        match self {
            Self::Means(means) => Ok(means),
            Self::Revision(revision) => {
                let kept = revision.build(service, announce, stop).await?;
                let build = Build {
                    service: Arc::clone(service),
                    dir: kept.dir,
                    program: None,
                    image: None,
                    sha256: kept.sha256,
                    git: Some(revision.describe()),
                };
                Ok(Means::Launch(build.with_version().await))
            }
        }
    }
}

impl Build {
    /// What is launched, for messages.
    pub(crate) fn shown(&self) -> String {
        match &self.image {
            Some(image) => image.name().to_owned(),
            None => self.program.as_ref().unwrap_or(&self.dir).display().to_string(),
        }
    }

    /// What it says of itself comes before what is known of it otherwise.
    async fn with_version(mut self) -> Self {
        self.git = self.version().await.or(self.git);
        self
    }
}

/// `bin:PATH`: a file takes the place of the program, where the command is run; a folder that of the build.
async fn given(spec: &SubjectSpec, service: &Arc<Service>, path: &Path) -> Result<Build, HarnessError> {
    let missing = |error: std::io::Error| {
        HarnessError::Subject(format!("subject {spec}: cannot read {}: {error}", path.display()))
    };
    let whole = std::path::absolute(path).map_err(missing)?;
    let is_folder = path.metadata().map_err(missing)?.is_dir();
    let sha256 = git::sha256_of(&whole).map_err(missing)?;
    let here = std::env::current_dir().map_err(missing)?;
    let (dir, program) = if is_folder { (whole, None) } else { (here, Some(whole)) };
    let build = Build {
        service: Arc::clone(service),
        dir,
        program,
        image: None,
        sha256,
        git: None,
    };
    Ok(build.with_version().await)
}

/// `image:NAME:TAG`: it is told its port, or has one of its own.
async fn image(service: &Arc<Service>, name: &str, announce: &mut dyn FnMut(&str)) -> Result<Build, HarnessError> {
    let is_told = service
        .environment
        .iter()
        .any(|(_, value)| value.places().any(|place| place == Placeholder::Port));
    if !is_told && service.image_port.is_none() {
        return Err(HarnessError::Usage(format!(
            "subject image:{name}: nobody knows where it listens: give {} the key `image_port`, or a variable with \
             {{port}} under [environment]",
            service.name
        )));
    }
    let port = service.image_port.filter(|_| !is_told);
    if port.is_some() && !service.needs.is_empty() {
        return Err(HarnessError::Usage(format!(
            "subject image:{name}: with a port of its own it cannot reach the servers that {} needs: tell it its port \
             by a variable with {{port}} under [environment]",
            service.name
        )));
    }
    let found = Image::find(name, port, announce).await;
    let (image, sha256) = found.map_err(|why| HarnessError::Subject(format!("subject image:{name}: {why}")))?;
    Ok(Build {
        service: Arc::clone(service),
        dir: PathBuf::from("/"),
        program: None,
        image: Some(image),
        sha256,
        git: None,
    })
}

/// A build of the working tree that stands where the subject file says.
async fn built(spec: &SubjectSpec, service: &Arc<Service>) -> Result<Build, HarnessError> {
    let places = Places::default();
    let dir = service
        .build
        .built
        .as_ref()
        .map(|text| text.fill(&|place| places.value(place)));
    let dir = PathBuf::from(dir.and_then(Result::ok).unwrap_or_default());
    let name = service
        .start
        .fill_program(&|place| places.value(place))
        .unwrap_or_default();
    let program = dir.join(&name);
    let sha256 = git::sha256_of(&program).map_err(|error| {
        let commands: Vec<String> = service
            .build
            .commands
            .iter()
            .map(|one| format!("`{}`", one.shown))
            .collect();
        HarnessError::Subject(format!(
            "subject {spec}: cannot read {}: {error}; it is built by {}",
            program.display(),
            commands.join(", then ")
        ))
    })?;
    let build = Build {
        service: Arc::clone(service),
        dir,
        program: None,
        image: None,
        sha256,
        git: None,
    };
    Ok(build.with_version().await)
}

impl Subject {
    /// Finds the programs and addresses of all subjects, builds those of revisions, and gives each a name that no other
    /// has.
    ///
    /// # Errors
    /// When one is not there or does not build, and once `stop` is cancelled.
    pub(crate) async fn resolve_all(
        specs: &[SubjectSpec],
        service: &Arc<Service>,
        way: (&WayArgs, HttpVersion),
        announce: &mut dyn FnMut(&str),
        stop: &CancellationToken,
    ) -> Result<Vec<Self>, HarnessError> {
        let mut found = Vec::with_capacity(specs.len());
        for spec in specs {
            found.push(unless_stopped(Found::find(spec, service, way, announce), stop).await?);
        }
        // Building takes minutes: only after every name was found to mean something.
        let mut subjects: Vec<Self> = Vec::with_capacity(specs.len());
        for (spec, found) in specs.iter().zip(found) {
            let mut name = name(spec);
            if subjects.iter().any(|other| other.name == name) {
                name = format!("{name}#{}", subjects.len() + 1);
            }
            let means = unless_stopped(found.means(service, announce, stop), stop).await?;
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

    /// What is launched; a subject that is up has none.
    pub(crate) fn build(&self) -> Option<&Build> {
        match &self.means {
            Means::Launch(build) => Some(build),
            Means::Running(_) => None,
        }
    }

    /// This subject with further variables.
    ///
    /// # Errors
    /// For a subject that is not launched here, and for a variable that every launch gives another value.
    pub(crate) fn with_variables(mut self, variables: &[Variable]) -> Result<Self, HarnessError> {
        let Some(build) = self.build() else {
            if variables.is_empty() {
                return Ok(self);
            }
            return Err(HarnessError::Usage(format!(
                "{} is up already: its variables cannot be set",
                self.spec
            )));
        };
        if let Some(given) = variables.iter().find(|one| build.service.gives(&one.name)) {
            return Err(HarnessError::Usage(format!(
                "{} is given by the harness at each launch",
                given.name
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
            git: self.build().and_then(|build| build.git.clone()),
            binary_sha256: self.build().map(|build| build.sha256.clone()),
            env: self.settings(),
        }
    }

    /// The variables that make this subject what it is: those of its profile, and those that it was given. Addresses of
    /// servers are given at each launch.
    pub(crate) fn settings(&self) -> Environment {
        let profile = self.spec.profile().zip(self.build());
        let of_profile = profile.and_then(|(name, build)| build.service.profile(name).ok());
        let mut settings = of_profile.cloned().unwrap_or_default();
        settings.extend(self.variables.clone());
        settings
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
        SubjectSpec::Url(address) => address.name(),
        // Both sides of a comparison of branches have the same profile, if any.
        SubjectSpec::Git { revision, profile } => {
            let is_tree = revision == git::WORKING_TREE;
            let what = if is_tree { "working tree" } else { revision };
            format!("{what}{}", suffix(profile.as_deref()))
        }
        _ => spec.profile().map_or_else(|| spec.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A service with two profiles, of which nothing is built.
    const SERVICE: &str = "\
start = \"./serve --port {port}\"
needs = [\"redis\"]
[build]
commands = [\"make serve\"]
built = \"{harness}\"
version = \"./serve --version\"
[environment]
REDIS_URL = \"{redis.url}\"
LOG = \"warn\"
[profiles]
fast = { KIND = \"fast\" }
slow = { KIND = \"slow\" }
";

    fn service() -> Arc<Service> {
        Arc::new(Service::parse(Path::new("shop.toml"), SERVICE).unwrap())
    }

    async fn resolve(specs: &[SubjectSpec]) -> Result<Vec<Subject>, HarnessError> {
        let way = (&WayArgs::default(), HttpVersion::Auto);
        Subject::resolve_all(specs, &service(), way, &mut |_| (), &CancellationToken::new()).await
    }

    /// This test's own program, which is there.
    fn this(profile: &str) -> SubjectSpec {
        let path = std::env::current_exe().unwrap();
        format!("bin:{}:{profile}", path.display()).parse().unwrap()
    }

    #[test]
    fn subjects_are_read_and_shown_alike() {
        for text in [
            "profile:phase1",
            "git:feature/faster",
            "git:HEAD~3:phase2",
            "bin:/opt/service",
            "bin:/opt/service:phase2",
            "image:registry:5000/shop:1.2",
            "url:http://127.0.0.1:8000",
            "url:https://shop.test/api",
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
    fn a_variable_is_a_name_and_a_value() {
        let faults: Variable = "FAULTS=sleep:premium:2ms".parse().unwrap();
        assert_eq!(
            (faults.name.as_str(), faults.value.as_str()),
            ("FAULTS", "sleep:premium:2ms")
        );
        for text in ["FAULTS", "=x"] {
            assert!(text.parse::<Variable>().unwrap_err().contains("NAME=VALUE"));
        }
    }

    #[tokio::test]
    async fn variables_are_part_of_a_subject_that_is_launched() {
        let subjects = resolve(&[this("fast")]).await.unwrap();
        let with = |text: &str| subjects[0].clone().with_variables(&[text.parse().unwrap()]);
        let env = with("LOG=info").unwrap().to_record().env;
        assert_eq!((env["KIND"].as_str(), env["LOG"].as_str()), ("fast", "info"));
        let refused = with("REDIS_URL=x").unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("given by the harness"), "{refused}");
    }

    #[tokio::test]
    async fn a_profile_that_is_not_in_the_file_is_answered_with_the_nearest() {
        let error = resolve(&[this("fats")]).await.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error
                .to_string()
                .ends_with("shop has no profile `fats`; did you mean `fast`?"),
            "{error}"
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
        let (service, stop) = (service(), CancellationToken::new());
        let mut unheard = |_: &str| ();
        let way = WayArgs::default();
        let (way, specs) = ((&way, HttpVersion::Auto), std::slice::from_ref(&spec));
        let resolving = Subject::resolve_all(specs, &service, way, &mut unheard, &stop);
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
    async fn a_build_that_is_not_there_says_how_it_is_made() {
        let error = resolve(&["profile:fast".parse().unwrap()]).await.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().ends_with("it is built by `make serve`"), "{error}");
        let error = resolve(&["bin:/nonexistent/service".parse().unwrap()])
            .await
            .unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(
            error.to_string().contains("cannot read /nonexistent/service"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_same_subject_twice_gets_two_names() {
        let subjects = resolve(&[this("slow"), this("slow")]).await.unwrap();
        assert_eq!(
            [subjects[0].name.as_str(), subjects[1].name.as_str()],
            ["slow", "slow#2"]
        );
    }
}
