//! Commands and values of subject files: texts with places, such as `{port}`, that a launch fills in.
//!
//! What belongs here: how they are written, and the names of places. What does not: what stands in a place, which only
//! whoever launches knows.

use std::fmt;
use std::ops::Range;

use toml::Spanned;

use crate::source::Findings;

/// Words that mean something to a shell, and nothing to a program that is run without one.
const OF_A_SHELL: [&str; 9] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];

/// Something that a launch fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// Where the subject is to listen: an address.
    Host,
    /// Where the subject is to listen: a port that is free.
    Port,
    /// The directory of the build.
    Dir,
    /// A directory that all builds share.
    Cache,
    /// The directory of the harness's own binary.
    Harness,
    /// A directory of the launch alone: a copy of the data set's.
    Data,
    /// A topic of the launch alone.
    Topic,
    /// A name that no other launch has.
    Namespace,
    /// The launch's own database, as a URL.
    PostgresUrl,
    /// Host of the database server.
    PostgresHost,
    /// Port of the database server.
    PostgresPort,
    /// User at the database server.
    PostgresUser,
    /// Password of that user; empty where there is none.
    PostgresPassword,
    /// Name of the launch's own database.
    PostgresDatabase,
    /// The cache server, as a URL.
    RedisUrl,
    /// Host of the cache server.
    RedisHost,
    /// Port of the cache server.
    RedisPort,
    /// Password of the cache server; empty where there is none.
    RedisPassword,
    /// `host:port` of the brokers, separated by commas.
    KafkaBrokers,
    /// Host of a server that the file describes, by its index.
    ServerHost(usize),
    /// Port of a server that the file describes, by its index.
    ServerPort(usize),
}

/// Places that every file knows, by name.
const PLACES: [(&str, Placeholder); 19] = [
    ("host", Placeholder::Host),
    ("port", Placeholder::Port),
    ("dir", Placeholder::Dir),
    ("cache", Placeholder::Cache),
    ("harness", Placeholder::Harness),
    ("data", Placeholder::Data),
    ("topic", Placeholder::Topic),
    ("namespace", Placeholder::Namespace),
    ("postgres.url", Placeholder::PostgresUrl),
    ("postgres.host", Placeholder::PostgresHost),
    ("postgres.port", Placeholder::PostgresPort),
    ("postgres.user", Placeholder::PostgresUser),
    ("postgres.password", Placeholder::PostgresPassword),
    ("postgres.database", Placeholder::PostgresDatabase),
    ("redis.url", Placeholder::RedisUrl),
    ("redis.host", Placeholder::RedisHost),
    ("redis.port", Placeholder::RedisPort),
    ("redis.password", Placeholder::RedisPassword),
    ("kafka.brokers", Placeholder::KafkaBrokers),
];

/// As files write it.
impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = PLACES.iter().find(|(_, place)| place == self);
        write!(f, "{{{}}}", known.map_or("NAME.port", |(name, _)| name))
    }
}

impl Placeholder {
    /// Whether it differs from launch to launch although they share a data set: what fills one must not depend on it.
    pub fn is_of_a_launch(self) -> bool {
        !matches!(
            self,
            Self::Dir
                | Self::Cache
                | Self::Harness
                | Self::Data
                | Self::PostgresUrl
                | Self::PostgresHost
                | Self::PostgresPort
                | Self::PostgresUser
                | Self::PostgresPassword
                | Self::PostgresDatabase
                | Self::ServerHost(_)
                | Self::ServerPort(_)
        )
    }

    /// The server of the stack that it is about, by the name that `needs` gives it.
    pub(crate) fn server(self) -> Option<&'static str> {
        match self {
            Self::Topic => Some("kafka"),
            other => {
                let (name, _) = PLACES.iter().find(|(_, place)| *place == other)?;
                name.split_once('.').map(|(server, _)| server)
            }
        }
    }
}

/// A text with places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Place(Placeholder),
}

impl Text {
    /// The text with what `value` has for each place; the first place that it has nothing for otherwise.
    ///
    /// # Errors
    /// A place without a value.
    pub fn fill(&self, value: &impl Fn(Placeholder) -> Option<String>) -> Result<String, Placeholder> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled += text,
                Part::Place(place) => filled += &value(*place).ok_or(*place)?,
            }
        }
        Ok(filled)
    }

    /// The places in it.
    pub fn places(&self) -> impl Iterator<Item = Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(*place),
            Part::Literal(_) => None,
        })
    }
}

/// A program and its arguments, each with places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// As the file writes it, for messages.
    pub shown: String,
    /// At least one: the program, then its arguments.
    words: Vec<Text>,
}

impl Command {
    /// Program and arguments.
    ///
    /// # Errors
    /// A place without a value.
    pub fn fill(&self, value: &impl Fn(Placeholder) -> Option<String>) -> Result<Vec<String>, Placeholder> {
        self.words.iter().map(|word| word.fill(value)).collect()
    }

    /// The program alone.
    ///
    /// # Errors
    /// A place without a value.
    pub fn fill_program(&self, value: &impl Fn(Placeholder) -> Option<String>) -> Result<String, Placeholder> {
        self.words
            .first()
            .map_or_else(|| Ok(String::new()), |word| word.fill(value))
    }

    /// The places in it.
    pub fn places(&self) -> impl Iterator<Item = Placeholder> {
        self.words.iter().flat_map(Text::places)
    }

    /// Whether both run the same program.
    pub fn has_program_of(&self, other: &Self) -> bool {
        self.words.first() == other.words.first()
    }
}

/// What texts of one file may name.
pub(crate) struct Known<'k> {
    /// Names of the servers that the file describes.
    pub(crate) servers: Vec<&'k str>,
}

impl Known<'_> {
    fn place(&self, name: &str) -> Option<Placeholder> {
        let of_all = PLACES.iter().find(|(known, _)| *known == name).map(|(_, place)| *place);
        of_all.or_else(|| {
            let (server, part) = name.split_once('.')?;
            let index = self.servers.iter().position(|known| *known == server)?;
            match part {
                "host" => Some(Placeholder::ServerHost(index)),
                "port" => Some(Placeholder::ServerPort(index)),
                _ => None,
            }
        })
    }

    fn names(&self) -> Vec<String> {
        let own = self
            .servers
            .iter()
            .flat_map(|name| [format!("{name}.host"), format!("{name}.port")]);
        PLACES.iter().map(|(name, _)| (*name).to_owned()).chain(own).collect()
    }

    /// Reads a text with places.
    pub(crate) fn text(&self, text: &Spanned<String>, findings: &mut Findings<'_>) -> Text {
        self.text_at(text.get_ref(), &text.span(), findings)
    }

    fn text_at(&self, text: &str, at: &Range<usize>, findings: &mut Findings<'_>) -> Text {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            literal += &rest[..brace];
            let found = &rest[brace..];
            if found.starts_with("{{") || found.starts_with("}}") {
                literal += &found[..1];
                rest = &found[2..];
                continue;
            }
            let inside = found.strip_prefix('{').and_then(|after| after.split_once('}'));
            let Some((name, after)) = inside else {
                let hint = "write {{ and }} for braces that stand for themselves".to_owned();
                findings.add(at, format!("`{text}` has a brace without its other half"), Some(hint));
                return Text::default();
            };
            if let Some(place) = self.place(name) {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
                parts.push(Part::Place(place));
            } else {
                let names = self.names();
                findings.unknown("placeholder", name, at, names.iter().map(String::as_str));
            }
            rest = after;
        }
        literal += rest;
        parts.push(Part::Literal(literal));
        parts.retain(|part| !matches!(part, Part::Literal(text) if text.is_empty()));
        Text { parts }
    }

    /// Reads a command: words as a shell would split them.
    pub(crate) fn command(&self, command: &Spanned<String>, findings: &mut Findings<'_>) -> Command {
        let (text, at) = (command.get_ref(), command.span());
        let words = shlex::split(text).unwrap_or_default();
        if words.is_empty() {
            let what = if text.trim().is_empty() {
                "a command is empty".to_owned()
            } else {
                format!("`{text}` has a quote without its other half")
            };
            findings.add(&at, what, None);
        }
        if let Some(word) = words.iter().find(|word| OF_A_SHELL.contains(&word.as_str())) {
            let hint = "give several commands as a list, or write sh -c '...'".to_owned();
            let what = format!("no shell runs `{text}`, so that `{word}` would be an argument");
            findings.add(&at, what, Some(hint));
        }
        Command {
            shown: text.clone(),
            words: words.iter().map(|word| self.text_at(word, &at, findings)).collect(),
        }
    }
}
