//! Subject files: how a service is built at a revision, started, known to be ready and stopped, which servers it needs,
//! and what it can be told not to do.
//!
//! What belongs here: the format, the types that it becomes and the check between the two. What does not: building and
//! starting anything (`loadtest`).

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::ablation::{Feature, RawFeature, check_features};
use crate::command::{Command, Known, Placeholder, Text};
use crate::error::InputError;
use crate::page::{Quotient, RawQuotient, quotients};
use crate::source::{Findings, Named, Source, named};
use crate::syntax::check_path;

/// Starting a service, its migrations included, takes seconds; a machine that compiles at the same time needs more.
const DEFAULT_READY_S: f64 = 60.0;
/// Longer than the drain of most services.
const DEFAULT_STOP_S: f64 = 15.0;
/// Stands in a line that says where a service listens.
const ADDRESS: &str = "{address}";

/// A service that can be launched, as its subject file describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name in messages: that of the file unless it says another.
    pub name: String,
    /// How a revision is built.
    pub build: Build,
    /// Starts it.
    pub start: Command,
    /// What it says when it is ready.
    pub ready: Ready,
    /// How it is ended.
    pub stop: Stop,
    /// Servers of the stack that it needs.
    pub needs: Vec<Need>,
    /// Servers that the stack does not know.
    pub servers: Vec<OwnServer>,
    /// Commands that fill an empty data set, which every launch then copies.
    pub dataset: Vec<Command>,
    /// Variables that each launch gives it.
    pub environment: Vec<(String, Text)>,
    /// Sets of variables by name.
    pub profiles: BTreeMap<String, BTreeMap<String, String>>,
    /// Its page of metrics in Prometheus' form.
    pub metrics_path: Option<String>,
    /// What that page counts.
    pub quotients: Vec<Quotient>,
    /// Port on which its image listens, where that cannot be told to it.
    pub image_port: Option<u16>,
    /// Things that it can be told not to do, in the order of the file.
    pub features: Vec<Feature>,
}

/// How a revision is built.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Build {
    /// Where the commands run, from the top of the repository.
    pub directory: PathBuf,
    /// One after the other; the first that fails ends it.
    pub commands: Vec<Command>,
    /// Files and folders that are kept of it; all of it where none is named.
    pub keep: Vec<Text>,
    /// Directory in which a build of the working tree stands already.
    pub built: Option<Text>,
    /// Prints the revision that a build was made of, in brackets.
    pub version: Option<Command>,
}

/// A server of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// A database of its own for each launch, cloned from the one that was filled.
    Postgres,
    /// Emptied before each launch.
    Redis,
    /// A topic of its own for each launch.
    Kafka,
}

impl Need {
    /// As files write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        }
    }
}

/// What a service says when it is ready: what is given of these, in this order; that it takes connections otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready {
    /// A line on its standard output.
    pub line: Option<ReadyLine>,
    /// A path that is answered with the status.
    pub path: Option<String>,
    /// The status of the answer; any of 200 to 299 where it is absent.
    pub status: Option<u16>,
    /// Seconds from its start until then at most.
    pub within_s: f64,
}

/// A line that a service prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyLine {
    /// The text that it holds, up to the address if there is one.
    pub text: String,
    /// Whether the address at which it listens follows.
    pub has_address: bool,
}

/// How a service is ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    /// The signal that asks it to.
    pub signal: StopSignal,
    /// Seconds until it is killed.
    pub within_s: f64,
}

/// A signal that asks a service to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// The default.
    #[default]
    Term,
    /// As Ctrl-C.
    Int,
    /// As Ctrl-\.
    Quit,
    /// As a terminal that is closed.
    Hup,
    /// Without asking.
    Kill,
}

/// A server that the stack does not know. It is started once, before the data set is made, and ended last.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnServer {
    /// Its name in messages, and in `{NAME.port}`.
    pub name: String,
    /// How it comes to run.
    pub run: ServerRun,
    /// Variables that it is given.
    pub environment: Vec<(String, Text)>,
    /// What it says when it is ready.
    pub ready: Ready,
}

/// How a server that the stack does not know comes to run.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerRun {
    /// A command of this machine, in a directory of its own, `{data}`.
    Command(Command),
    /// A container.
    Image {
        /// `name:tag`.
        image: String,
        /// Where it listens inside.
        port: u16,
    },
}

impl Service {
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

    /// The service of this repository, for a command that is given no file.
    ///
    /// # Panics
    /// If the file that was built in is wrong; a test of this crate reads it.
    pub fn shipped() -> Self {
        const FILE: &str = "subjects/insurance-service.toml";
        let text = include_str!("../subjects/insurance-service.toml");
        Self::parse(Path::new(FILE), text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The variables of a profile.
    ///
    /// # Errors
    /// In words, for a name that it does not have.
    pub fn profile(&self, name: &str) -> Result<&BTreeMap<String, String>, String> {
        self.profiles.get(name).ok_or_else(|| {
            let hint = crate::names::did_you_mean(name, self.profiles.keys().map(String::as_str));
            let hint = hint.unwrap_or_else(|| "its file has no [profiles.NAME]".to_owned());
            format!("{} has no profile `{name}`; {hint}", self.name)
        })
    }

    /// Whether a variable is the harness's to set.
    pub fn gives(&self, variable: &str) -> bool {
        let mut given = self.environment.iter().filter(|(name, _)| name == variable);
        given.any(|(_, value)| value.places().next().is_some())
    }

    /// Whether anything that a launch runs or is told has this place.
    pub fn uses(&self, place: Placeholder) -> bool {
        let values = self.environment.iter().flat_map(|(_, value)| value.places());
        let commands = self.dataset.iter().chain([&self.start]).flat_map(Command::places);
        values.chain(commands).any(|used| used == place)
    }
}

/// A subject file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawService {
    /// That of the file when absent.
    name: Option<Spanned<String>>,
    start: Spanned<String>,
    #[serde(default)]
    needs: Vec<Spanned<Need>>,
    metrics_path: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "named")]
    metrics: Named<RawQuotient>,
    image_port: Option<Spanned<u16>>,
    #[serde(default)]
    ready: RawReady,
    #[serde(default)]
    stop: RawStop,
    #[serde(default)]
    build: RawBuild,
    #[serde(default)]
    dataset: RawDataset,
    #[serde(default, deserialize_with = "named")]
    environment: Named<Spanned<String>>,
    #[serde(default, deserialize_with = "named")]
    servers: Named<RawServer>,
    #[serde(default, deserialize_with = "named")]
    profiles: Named<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "named")]
    features: Named<RawFeature>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBuild {
    /// The top of the repository when absent.
    directory: Option<Spanned<String>>,
    #[serde(default)]
    commands: Vec<Spanned<String>>,
    #[serde(default)]
    keep: Vec<Spanned<String>>,
    built: Option<Spanned<String>>,
    version: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReady {
    line: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    status: Option<Spanned<u16>>,
    within_s: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStop {
    #[serde(default)]
    signal: StopSignal,
    within_s: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDataset {
    commands: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    command: Option<Spanned<String>>,
    image: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    #[serde(default, deserialize_with = "named")]
    environment: Named<Spanned<String>>,
    #[serde(default)]
    ready: RawReady,
}

fn checked(source: &Source) -> Result<Service, InputError> {
    let (raw, mut findings) = source.read_into()?;
    let service = check(raw, source, &mut findings);
    findings.finish(service)
}

fn check(raw: RawService, source: &Source, findings: &mut Findings<'_>) -> Service {
    let known = Known {
        servers: raw.servers.iter().map(|(name, _)| name.get_ref().as_str()).collect(),
    };
    let needs: Vec<Need> = raw.needs.iter().map(|need| *need.get_ref()).collect();
    let start = known.command(&raw.start, findings);
    check_needs(start.places(), &needs, &raw.start.span(), findings);
    let service = Service {
        name: raw
            .name
            .as_ref()
            .map_or_else(|| source.stem(), |name| findings.not_empty("name", name)),
        build: raw.build.check(&known, findings),
        ready: raw.ready.check(findings),
        stop: raw.stop.check(findings),
        servers: own_servers(&raw.servers, &known, findings),
        dataset: dataset(&raw.dataset, &known, &needs, findings),
        environment: environment(&raw.environment, &known, &needs, findings),
        profiles: profiles(&raw.profiles),
        metrics_path: raw.metrics_path.as_ref().map(|path| path_of(path, findings)),
        quotients: quotients(&raw.metrics, findings),
        image_port: raw
            .image_port
            .as_ref()
            .map(|port| findings.at_least_one("image_port", port)),
        features: check_features(raw.features, findings),
        start,
        needs,
    };
    check_address(&service, &raw.start, findings);
    service
}

fn path_of(path: &Spanned<String>, findings: &mut Findings<'_>) -> String {
    check_path(path, findings);
    path.get_ref().clone()
}

fn profiles(raw: &Named<BTreeMap<String, String>>) -> BTreeMap<String, BTreeMap<String, String>> {
    let sets = raw.iter().map(|(name, set)| (name.get_ref().clone(), set.clone()));
    sets.collect()
}

fn own_servers(raw: &Named<RawServer>, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<OwnServer> {
    let servers = raw.iter().map(|(name, server)| server.check(name, known, findings));
    servers.collect()
}

/// A place that is about a server has a value only where that server runs.
fn check_needs(
    places: impl Iterator<Item = Placeholder>,
    needs: &[Need],
    at: &std::ops::Range<usize>,
    findings: &mut Findings<'_>,
) {
    for server in places.filter_map(Placeholder::server) {
        if needs.iter().all(|need| need.as_str() != server) {
            let hint = format!("add it: needs = [\"{server}\"]");
            findings.add(
                at,
                format!("this is about {server}, which `needs` does not name"),
                Some(hint),
            );
        }
    }
}

/// Somebody must know where it listens: the harness, which then tells it, or the line that it prints.
fn check_address(service: &Service, start: &Spanned<String>, findings: &mut Findings<'_>) {
    let told = service.uses(Placeholder::Port);
    let tells = service.ready.line.as_ref().is_some_and(|line| line.has_address);
    if !told && !tells && service.image_port.is_none() {
        let hint = "use {port} in `start` or in a variable, or say in `ready` that it prints its address: \
                    line = \"listening on http://{address}\""
            .to_owned();
        findings.add(&start.span(), "nobody knows where it listens", Some(hint));
    }
}

fn environment(
    raw: &Named<Spanned<String>>,
    known: &Known<'_>,
    needs: &[Need],
    findings: &mut Findings<'_>,
) -> Vec<(String, Text)> {
    let mut variables = Vec::new();
    for (name, value) in raw {
        let is_name = !name.get_ref().is_empty() && !name.get_ref().contains(['=', '\0']);
        findings.require(is_name, &name.span(), || format!("`{name}` is no name of a variable"));
        let text = known.text(value, findings);
        check_needs(text.places(), needs, &value.span(), findings);
        variables.push((name.get_ref().clone(), text));
    }
    variables
}

fn dataset(raw: &RawDataset, known: &Known<'_>, needs: &[Need], findings: &mut Findings<'_>) -> Vec<Command> {
    let mut commands = Vec::new();
    for raw in &raw.commands {
        let command = known.command(raw, findings);
        check_needs(command.places(), needs, &raw.span(), findings);
        if command.places().any(Placeholder::is_of_a_launch) {
            let hint = "a data set is made once, and each launch gets a copy".to_owned();
            let what = "this has a placeholder that every launch has another value for";
            findings.add(&raw.span(), what, Some(hint));
        }
        commands.push(command);
    }
    commands
}

impl RawBuild {
    fn check(&self, known: &Known<'_>, findings: &mut Findings<'_>) -> Build {
        let mut commands = Vec::new();
        for raw in &self.commands {
            commands.push(build_command(raw, known, findings));
        }
        let mut keep = Vec::new();
        for raw in &self.keep {
            keep.push(build_text(raw, known, findings));
        }
        let directory = self.directory.as_ref();
        Build {
            directory: directory.map(|path| relative(path, findings)).unwrap_or_default(),
            commands,
            keep,
            built: self.built.as_ref().map(|text| build_text(text, known, findings)),
            version: self.version.as_ref().map(|text| build_command(text, known, findings)),
        }
    }
}

fn build_command(raw: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Command {
    let command = known.command(raw, findings);
    check_build_places(command.places(), raw, findings);
    command
}

fn build_text(raw: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Text {
    let text = known.text(raw, findings);
    check_build_places(text.places(), raw, findings);
    text
}

fn check_build_places(
    mut places: impl Iterator<Item = Placeholder>,
    raw: &Spanned<String>,
    findings: &mut Findings<'_>,
) {
    let of_a_build = |place| matches!(place, Placeholder::Dir | Placeholder::Cache | Placeholder::Harness);
    findings.require(places.all(of_a_build), &raw.span(), || {
        "a build knows no placeholder but {dir}, {cache} and {harness}".to_owned()
    });
}

/// A folder inside the repository.
fn relative(path: &Spanned<String>, findings: &mut Findings<'_>) -> PathBuf {
    let inside = Path::new(path.get_ref())
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    findings.require(inside, &path.span(), || {
        format!("`directory` is \"{path}\": it must be inside the repository, from its top, like \"services/shop\"")
    });
    PathBuf::from(path.get_ref())
}

impl RawReady {
    fn check(&self, findings: &mut Findings<'_>) -> Ready {
        if let Some(status) = self.status.as_ref() {
            findings.require((100..=599).contains(status.get_ref()), &status.span(), || {
                format!("`status` is {status}: it must be from 100 to 599")
            });
            findings.require(self.path.is_some(), &status.span(), || {
                "`status` is that of an answer: give its `path`, too".to_owned()
            });
        }
        Ready {
            line: self.line.as_ref().map(|line| ready_line(line, findings)),
            path: self.path.as_ref().map(|path| path_of(path, findings)),
            status: self.status.as_ref().map(|status| *status.get_ref()),
            within_s: self
                .within_s
                .as_ref()
                .map_or(DEFAULT_READY_S, |within_s| findings.seconds("within_s", within_s)),
        }
    }
}

impl RawStop {
    fn check(&self, findings: &mut Findings<'_>) -> Stop {
        let within_s = self.within_s.as_ref();
        Stop {
            signal: self.signal,
            within_s: within_s.map_or(DEFAULT_STOP_S, |within_s| findings.seconds("within_s", within_s)),
        }
    }
}

fn ready_line(line: &Spanned<String>, findings: &mut Findings<'_>) -> ReadyLine {
    let text = findings.not_empty("line", line);
    let (before, has_address) = match text.split_once(ADDRESS) {
        Some((before, _)) => (before, true),
        None => (text.as_str(), false),
    };
    findings.require(!has_address || !before.is_empty(), &line.span(), || {
        format!("`line` must have a text before {ADDRESS}, by which it is known")
    });
    ReadyLine {
        text: before.to_owned(),
        has_address,
    }
}

impl RawServer {
    fn check(&self, name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> OwnServer {
        let is_known = [Need::Postgres, Need::Redis, Need::Kafka]
            .iter()
            .any(|need| need.as_str() == name.get_ref());
        findings.require(!is_known, &name.span(), || {
            format!("`{name}` is a server of the stack: name it in `needs`, and leave this table out")
        });
        let run = self.run(name, known, findings);
        OwnServer {
            name: name.get_ref().clone(),
            run,
            environment: environment(&self.environment, known, &[], findings),
            ready: self.ready.check(findings),
        }
    }

    fn run(&self, name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> ServerRun {
        match (&self.command, &self.image) {
            (Some(command), None) => ServerRun::Command(self.own_command(command, known, findings)),
            (None, Some(image)) => {
                findings.require(self.port.is_some(), &image.span(), || {
                    "an image needs its `port`: where the server listens inside".to_owned()
                });
                ServerRun::Image {
                    image: findings.not_empty("image", image),
                    port: self.port.as_ref().map_or(0, |port| findings.at_least_one("port", port)),
                }
            }
            _ => {
                let what = format!("server `{name}` must give either `command` or `image`");
                findings.add(&name.span(), what, None);
                ServerRun::Image {
                    image: String::new(),
                    port: 0,
                }
            }
        }
    }

    fn own_command(&self, command: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Command {
        if let Some(port) = self.port.as_ref() {
            let hint = "use {port} in its command".to_owned();
            findings.add(&port.span(), "`port` is that of an image", Some(hint));
        }
        let run = known.command(command, findings);
        let of_a_server = |place| matches!(place, Placeholder::Host | Placeholder::Port | Placeholder::Data);
        findings.require(run.places().all(of_a_server), &command.span(), || {
            "the command of a server knows no placeholder but {host}, {port} and {data}".to_owned()
        });
        run
    }
}
