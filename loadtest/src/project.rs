//! What the files of a repository say about how its service is built and started: guesses, to be confirmed by whoever
//! knows.

use std::path::Path;

/// How a service is built and started, as far as it can be guessed; no `start` is no guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) start: String,
    pub(crate) build: Vec<String>,
    pub(crate) keep: Vec<String>,
    /// Servers of the stack by name.
    pub(crate) needs: Vec<String>,
    pub(crate) ready_path: Option<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A language: its guess from a directory, whose files are read by name.
type Kind = fn(&Path, &dyn Fn(&str) -> Option<String>) -> Option<Guess>;

/// Libraries by which the servers are reached, in any of the languages that are known here.
const LIBRARIES: [(&str, &[&str]); 3] = [
    (
        "postgres",
        &[
            "asyncpg",
            "psycopg",
            "postgres",
            "\"pg\"",
            "lib/pq",
            "jackc/pgx",
            "sqlalchemy",
        ],
    ),
    ("redis", &["redis"]),
    ("kafka", &["kafka"]),
];

/// Name of the project: that of its folder.
pub(crate) fn name(directory: &Path) -> String {
    let whole = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    whole
        .file_name()
        .map_or_else(|| "service".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A guess from the files at the top of a repository; the first kind that is found counts.
pub(crate) fn guess(directory: &Path) -> Guess {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
    let kinds: [Kind; 4] = [python, node, go, rust];
    let guess = kinds.iter().find_map(|kind| kind(directory, &read));
    guess.unwrap_or_default()
}

fn needs(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let named = LIBRARIES
        .iter()
        .filter(|(_, libraries)| libraries.iter().any(|library| text.contains(library)));
    named.map(|(server, _)| (*server).to_owned()).collect()
}

fn python(directory: &Path, read: &dyn Fn(&str) -> Option<String>) -> Option<Guess> {
    let requirements = read("requirements.txt")?;
    let module = ["main", "app", "app/main", "src/main"]
        .into_iter()
        .find(|module| directory.join(format!("{module}.py")).is_file())?;
    let module = module.replace('/', ".");
    let python = ".venv/bin/python";
    let lower = requirements.to_lowercase();
    let start = if lower.contains("fastapi") || lower.contains("starlette") || lower.contains("uvicorn") {
        format!("{python} -m uvicorn {module}:app --host {{host}} --port {{port}} --log-level warning")
    } else if lower.contains("gunicorn") {
        format!("{python} -m gunicorn {module}:app --bind {{host}}:{{port}}")
    } else if lower.contains("flask") {
        format!("{python} -m flask --app {module} run --host {{host}} --port {{port}}")
    } else {
        format!("{python} {}.py", module.replace('.', "/"))
    };
    Some(Guess {
        environment: port_variable(&start),
        start,
        build: vec![
            "python3 -m venv .venv".to_owned(),
            format!("{python} -m pip install --quiet -r requirements.txt"),
        ],
        needs: needs(&requirements),
        ..Guess::default()
    })
}

fn node(directory: &Path, read: &dyn Fn(&str) -> Option<String>) -> Option<Guess> {
    let package = read("package.json")?;
    let parsed: serde_json::Value = serde_json::from_str(&package).ok()?;
    let install = if directory.join("package-lock.json").is_file() {
        "npm ci"
    } else {
        "npm install"
    };
    let mut build = vec![install.to_owned()];
    if parsed["scripts"]["build"].is_string() {
        build.push("npm run build".to_owned());
    }
    let start = match (parsed["scripts"]["start"].as_str(), parsed["main"].as_str()) {
        (Some(script), _) if script.starts_with("node ") => script.to_owned(),
        (Some(_), _) => "npm start".to_owned(),
        (None, main) => format!("node {}", main.unwrap_or("index.js")),
    };
    Some(Guess {
        environment: port_variable(&start),
        start,
        build,
        needs: needs(&package),
        ..Guess::default()
    })
}

fn go(_: &Path, read: &dyn Fn(&str) -> Option<String>) -> Option<Guess> {
    let module = read("go.mod")?;
    let start = "./server".to_owned();
    Some(Guess {
        environment: port_variable(&start),
        start,
        build: vec!["go build -o server .".to_owned()],
        keep: vec!["server".to_owned()],
        needs: needs(&module),
        ..Guess::default()
    })
}

fn rust(_: &Path, read: &dyn Fn(&str) -> Option<String>) -> Option<Guess> {
    let manifest = read("Cargo.toml")?;
    let package = manifest.split("[package]").nth(1)?;
    let name = package.lines().find_map(|line| line.trim().strip_prefix("name"))?;
    let name = name.trim_start_matches([' ', '=']).trim_matches('"');
    let start = format!("./{name}");
    Some(Guess {
        environment: port_variable(&start),
        start,
        build: vec!["cargo build --release --locked --target-dir {cache}/target".to_owned()],
        keep: vec![format!("{{cache}}/target/release/{name}")],
        needs: needs(&manifest),
        ..Guess::default()
    })
}

/// A service that is not told its port as an argument is told by the variable that most of them read.
pub(crate) fn port_variable(start: &str) -> Vec<(String, String)> {
    if start.contains("{port}") {
        return Vec::new();
    }
    vec![("PORT".to_owned(), "{port}".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(files: &[(&str, &str)]) -> Guess {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        guess(directory.path())
    }

    #[test]
    fn each_language_is_known_by_its_files() {
        let fastapi = guessed(&[("requirements.txt", "fastapi\nasyncpg==1\n"), ("app/main.py", "")]);
        assert!(
            fastapi
                .start
                .contains("uvicorn app.main:app --host {host} --port {port}"),
            "{fastapi:?}"
        );
        assert_eq!(
            (fastapi.needs.as_slice(), fastapi.environment.len()),
            (&["postgres".to_owned()][..], 0)
        );
        let package = r#"{"scripts": {"start": "node server.js", "build": "tsc"}, "dependencies": {"ioredis": "5"}}"#;
        let node = guessed(&[("package.json", package), ("package-lock.json", "{}")]);
        assert_eq!(
            (node.start.as_str(), node.build),
            ("node server.js", vec!["npm ci".to_owned(), "npm run build".to_owned()])
        );
        assert_eq!(
            (node.needs, node.environment[0].0.as_str()),
            (vec!["redis".to_owned()], "PORT")
        );
        let go = guessed(&[("go.mod", "module shop\nrequire github.com/jackc/pgx/v5 v5.1.0\n")]);
        assert_eq!((go.start.as_str(), go.needs), ("./server", vec!["postgres".to_owned()]));
        let rust = guessed(&[(
            "Cargo.toml",
            "[package]\nname = \"shop\"\n[dependencies]\nrdkafka = \"1\"\n",
        )]);
        assert_eq!((rust.start.as_str(), rust.needs), ("./shop", vec!["kafka".to_owned()]));
        assert_eq!(guessed(&[("README.md", "x")]), Guess::default());
    }
}
