//! `loadtest init`: the files to begin with: a subject file, a workload, targets and a job for CI, from what is known
//! of a service already and a few answers.

use std::{
    fs,
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use clap::Args;
use scenarios::{Need, Service, Targets, Workload, toml_text};

use crate::{
    arguments::SUBJECT_FILE,
    error::HarnessError,
    import::{Imported, from_curl, from_har, from_openapi, from_urls},
    project::{self, Guess},
    say,
};

const WORKLOAD: &str = "workload.toml";
const TARGETS: &str = "targets.toml";
const JOB: &str = "github-actions.yml";
/// Both models, low for any service: `--rate` and `--users` say otherwise.
const LOAD: &str = "[model.open]\nrate = { constant = { per_s = 20 } }\n\n[model.closed]\nusers = 10\n";

/// Write the files to begin with: subject file, workload, targets and a job for CI
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  from a service that is up and describes itself, as FastAPI's do
    loadtest init --openapi http://127.0.0.1:8000/openapi.json
  from what a browser recorded of a session
    loadtest init --har shop.har
  from nothing: answers to a few questions
    loadtest init

How the service is built and started is guessed from the files of the repository, and asked on a terminal; what \
--start, --build, --needs and --ready say is not asked.")]
pub(crate) struct InitArgs {
    /// An OpenAPI document (3.0 or 3.1, JSON or YAML), by its file or its address
    #[arg(long, value_name = "FILE|URL", group = "source")]
    openapi: Option<String>,
    /// What a browser recorded of a session
    #[arg(long, value_name = "FILE", group = "source")]
    har: Option<PathBuf>,
    /// A curl line, or @FILE to read it from a file
    #[arg(long, value_name = "LINE", group = "source")]
    curl: Option<String>,
    /// Addresses or paths, one a line, each with a method before it if it is not GET
    #[arg(long, value_name = "FILE", group = "source")]
    urls: Option<PathBuf>,
    /// The command that starts the service; {port} stands for where it is to listen, which the variable PORT says
    /// otherwise
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
    /// A command that builds it; may be repeated
    #[arg(long, value_name = "COMMAND", requires = "start")]
    build: Vec<String>,
    /// Servers that it needs, separated by commas: postgres, redis, kafka
    #[arg(long, value_name = "SERVER", value_delimiter = ',', requires = "start")]
    needs: Vec<String>,
    /// A path that is answered with 200 to 299 as soon as it is ready
    #[arg(long, value_name = "PATH", requires = "start")]
    ready: Option<String>,
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = "loadtest")]
    dir: PathBuf,
}

/// Exit code 0. Nothing is overwritten, and nothing is left of what would not be read.
pub(super) async fn init(arguments: &InitArgs) -> Result<u8, HarnessError> {
    let here = Path::new(".");
    let imported = imported(arguments).await?;
    let guess = match &arguments.start {
        Some(start) => Guess {
            start: start.clone(),
            build: arguments.build.clone(),
            needs: arguments.needs.clone(),
            ready_path: arguments.ready.clone(),
            environment: project::port_variable(start),
            ..Guess::default()
        },
        None => project::guess(here),
    };
    let is_asked = arguments.start.is_none() && io::stdin().is_terminal();
    let (guess, imported) = if is_asked {
        let mut answers = io::stdin().lock();
        (
            asked(guess, &mut answers)?,
            imported.map_or_else(|| asked_path(&mut answers), Ok)?,
        )
    } else {
        (
            guess,
            imported.map_or_else(|| from_urls("/").map_err(HarnessError::Usage), Ok)?,
        )
    };
    let files = Files::new(here, &guess, &imported)?;
    files.write(&arguments.dir)?;
    for line in &imported.left_out {
        say::err(format_args!("left out: {line}"));
    }
    say::out(files.next_steps(&arguments.dir, &imported));
    Ok(0)
}

/// Requests from what was given, if anything was.
async fn imported(arguments: &InitArgs) -> Result<Option<Imported>, HarnessError> {
    let of = |name: &str, read: Result<Imported, String>| {
        read.map(Some)
            .map_err(|why| HarnessError::Usage(format!("{name}: {why}")))
    };
    if let Some(from) = &arguments.openapi {
        let mut read = from_openapi(&document(from).await?);
        if let (Ok(imported), Ok(url)) = (&mut read, url::Url::parse(from))
            && imported.origin.is_none()
        {
            imported.origin = Some(url.origin().ascii_serialization());
        }
        return of(from, read);
    }
    if let Some(file) = &arguments.har {
        return of(&file.display().to_string(), from_har(&content(file)?));
    }
    if let Some(line) = &arguments.curl {
        let line = match line.strip_prefix('@') {
            Some(file) => content(Path::new(file))?,
            None => line.clone(),
        };
        return of("--curl", from_curl(&line));
    }
    if let Some(file) = &arguments.urls {
        return of(&file.display().to_string(), from_urls(&content(file)?));
    }
    Ok(None)
}

fn content(file: &Path) -> Result<String, HarnessError> {
    fs::read_to_string(file).map_err(|error| HarnessError::Usage(format!("cannot read {}: {error}", file.display())))
}

/// A document by its address or its file.
async fn document(from: &str) -> Result<String, HarnessError> {
    if !from.starts_with("http://") {
        return content(Path::new(from));
    }
    let unavailable = |error: reqwest::Error| HarnessError::Subject(format!("cannot read {from}: {error}; is it up?"));
    let answer = reqwest::get(from).await.and_then(reqwest::Response::error_for_status);
    answer.map_err(unavailable)?.text().await.map_err(unavailable)
}

/// Has the guess confirmed or corrected, line by line; an empty line confirms.
fn asked(mut guess: Guess, answers: &mut impl BufRead) -> Result<Guess, HarnessError> {
    guess.start = answer(
        "How is the service started ({port} stands for its port)?",
        &guess.start,
        answers,
    )?;
    if guess.start.is_empty() {
        return Ok(guess);
    }
    guess.environment = project::port_variable(&guess.start);
    let build = answer(
        "Which commands build it (separated by ;)?",
        &guess.build.join("; "),
        answers,
    )?;
    guess.build = listed(&build, ';');
    let needs = answer(
        "Which servers does it need (postgres, redis, kafka)?",
        &guess.needs.join(", "),
        answers,
    )?;
    guess.needs = listed(&needs, ',');
    let ready = guess.ready_path.unwrap_or_default();
    let ready = answer("Which path is answered when it is ready?", &ready, answers)?;
    guess.ready_path = (!ready.is_empty()).then_some(ready);
    Ok(guess)
}

fn asked_path(answers: &mut impl BufRead) -> Result<Imported, HarnessError> {
    let path = answer("Which path is to be requested?", "/", answers)?;
    from_urls(&path).map_err(HarnessError::Usage)
}

fn answer(question: &str, guess: &str, answers: &mut impl BufRead) -> Result<String, HarnessError> {
    say::err(format_args!("{question} [{guess}]"));
    let mut line = String::new();
    answers.read_line(&mut line).map_err(HarnessError::internal)?;
    let line = line.trim();
    Ok(if line.is_empty() {
        guess.to_owned()
    } else {
        line.to_owned()
    })
}

fn listed(text: &str, separator: char) -> Vec<String> {
    let parts = text.split(separator).map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The files, by name, each read back before anything is written.
struct Files {
    files: Vec<(&'static str, String)>,
    has_subject: bool,
}

impl Files {
    fn new(here: &Path, guess: &Guess, imported: &Imported) -> Result<Self, HarnessError> {
        let name = project::name(here);
        let workload = imported.workload(&name, LOAD);
        let checked = Workload::parse(Path::new(WORKLOAD), &workload).map_err(HarnessError::usage)?;
        let targets = targets(&name);
        Targets::parse(Path::new(TARGETS), &targets, &checked.endpoint_names()).map_err(HarnessError::usage)?;
        let mut files = vec![(WORKLOAD, workload), (TARGETS, targets)];
        let has_subject = !guess.start.is_empty();
        if has_subject {
            let subject = subject(guess, &name)?;
            Service::parse(Path::new(SUBJECT_FILE), &subject).map_err(HarnessError::usage)?;
            files.push((SUBJECT_FILE, subject));
            let model = if imported.is_session { " --model closed" } else { "" };
            files.push((JOB, include_str!("init_github_actions.yml").replace("MODEL", model)));
        }
        Ok(Self { files, has_subject })
    }

    fn write(&self, directory: &Path) -> Result<(), HarnessError> {
        let there = self
            .files
            .iter()
            .map(|(name, _)| directory.join(name))
            .find(|path| path.exists());
        if let Some(there) = there {
            return Err(HarnessError::Usage(format!(
                "{} is there already: name another folder with --dir",
                there.display()
            )));
        }
        let cannot =
            |error: io::Error| HarnessError::Usage(format!("cannot write to {}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(cannot)?;
        for (name, text) in &self.files {
            fs::write(directory.join(name), text).map_err(cannot)?;
        }
        Ok(())
    }

    fn next_steps(&self, directory: &Path, imported: &Imported) -> String {
        let names: Vec<&str> = self.files.iter().map(|(name, _)| *name).collect();
        let origin = imported.origin.as_deref().unwrap_or("http://HOST:PORT");
        let workload = directory.join(WORKLOAD);
        let (workload, targets) = (workload.display(), directory.join(TARGETS));
        let mut text = format!(
            "wrote {} to {}\n\nthe service that is up:\n  loadtest run --workload {workload} --targets {} --subject \
             url:{origin} --rate 20",
            names.join(", "),
            directory.display(),
            targets.display(),
        );
        if self.has_subject {
            let model = if imported.is_session { " --model closed" } else { "" };
            text.extend([format!(
                "\nthe working tree, started with what it needs:\n  loadtest run --workload {workload} --subject \
                 git:.\ntwo branches, as {} does in CI:\n  loadtest compare --workload {workload}{model} \
                 git:main git:HEAD",
                directory.join(JOB).display()
            )]);
        } else {
            text += "\n\nno subject file was written, since nothing says how the service is started: give --start";
        }
        text
    }
}

fn targets(name: &str) -> String {
    format!(
        "# What must hold. docs/WORKLOADS.md describes the format; both limits are to begin with.\nname = {}\n\n\
         [targets.fast]\npriority = \"P1\"\nmetric = \"http.p95_ms\"\nendpoint = \"all\"\nbelow = 500\n\
         source = \"19 of 20 answers within half a second\"\n\n\
         [targets.reliable]\npriority = \"P1\"\nmetric = \"http.error_rate\"\nendpoint = \"all\"\nbelow = 0.01\n\
         source = \"99 of 100 requests are answered as expected\"\n",
        toml_text(name)
    )
}

fn subject(guess: &Guess, name: &str) -> Result<String, HarnessError> {
    let quoted = |texts: &[String]| texts.iter().map(|text| toml_text(text)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "# How the service is built, started and stopped. docs/SUBJECTS.md describes the format.\nname = {}\nstart = \
         {}\n",
        toml_text(name),
        toml_text(&guess.start)
    );
    if !guess.needs.is_empty() {
        text.extend([format!("needs = [{}]\n", quoted(&guess.needs))]);
    }
    if let Some(path) = &guess.ready_path {
        text.extend([format!("ready = {{ path = {} }}\n", toml_text(path))]);
    }
    if !guess.build.is_empty() || !guess.keep.is_empty() {
        text.extend([format!("\n[build]\ncommands = [{}]\n", quoted(&guess.build))]);
    }
    if !guess.keep.is_empty() {
        text.extend([format!("keep = [{}]\n", quoted(&guess.keep))]);
    }
    let mut variables = guess.environment.clone();
    for need in &guess.needs {
        variables.push(variable(need)?);
    }
    if !variables.is_empty() {
        text += "\n[environment]\n";
    }
    for (name, value) in variables {
        text.extend([format!("{name} = {}\n", toml_text(&value))]);
    }
    Ok(text)
}

/// Under the name by which most services know it.
fn variable(need: &str) -> Result<(String, String), HarnessError> {
    let known = [Need::Postgres, Need::Redis, Need::Kafka].map(Need::as_str);
    let (name, place) = match need {
        "postgres" => ("DATABASE_URL", "{postgres.url}"),
        "redis" => ("REDIS_URL", "{redis.url}"),
        "kafka" => ("KAFKA_BROKERS", "{kafka.brokers}"),
        other => {
            let hint = scenarios::did_you_mean(other, known).unwrap_or_default();
            return Err(HarnessError::Usage(format!(
                "--needs: there is no server `{other}`; {hint}"
            )));
        }
    };
    Ok((name.to_owned(), place.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess() -> Guess {
        Guess {
            start: "./shop --port {port}".to_owned(),
            build: vec!["make".to_owned()],
            needs: vec!["redis".to_owned()],
            ready_path: Some("/ready".to_owned()),
            ..Guess::default()
        }
    }

    #[test]
    fn answers_correct_what_was_guessed_and_empty_ones_confirm_it() {
        let mut answers = "\nmake all; make install\npostgres, kafka\n\n/items\n".as_bytes();
        let answered = asked(guess(), &mut answers).unwrap();
        assert_eq!(answered.start, "./shop --port {port}");
        assert_eq!(answered.build, ["make all", "make install"]);
        assert_eq!(answered.needs, ["postgres", "kafka"]);
        assert_eq!(answered.ready_path.as_deref(), Some("/ready"));
        assert_eq!(asked_path(&mut answers).unwrap().requests[0].path, "/items");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let place = tempfile::tempdir().unwrap();
        let files = Files::new(place.path(), &guess(), &from_urls("/items\n/carts\n").unwrap()).unwrap();
        let written = place.path().join("new/loadtest");
        files.write(&written).unwrap();
        let service = Service::load(&written.join(SUBJECT_FILE)).unwrap();
        assert_eq!(
            (service.needs, service.ready.path.as_deref()),
            (vec![Need::Redis], Some("/ready"))
        );
        let workload = Workload::load(&written.join(WORKLOAD)).unwrap();
        assert_eq!(workload.endpoint_names(), ["get_items", "get_carts"]);
        assert!(workload.models.open.is_some() && workload.models.closed.is_some());
        let again = files.write(&written).unwrap_err();
        assert!(
            again.exit_code() == 2 && again.to_string().contains("is there already"),
            "{again}"
        );
    }

    #[test]
    fn without_a_start_there_is_no_subject_file() {
        let files = Files::new(Path::new("."), &Guess::default(), &from_urls("/").unwrap()).unwrap();
        assert_eq!(files.files.len(), 2);
        let steps = files.next_steps(Path::new("x"), &Imported::default());
        assert!(
            steps.contains("no subject file was written") && !steps.contains("git:main"),
            "{steps}"
        );
    }

    #[test]
    fn a_server_that_is_not_known_is_answered_with_the_nearest() {
        let error = variable("postgre").unwrap_err().to_string();
        assert!(
            error.ends_with("there is no server `postgre`; did you mean `postgres`?"),
            "{error}"
        );
    }
}
