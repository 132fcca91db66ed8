//! A report as headings, paragraphs and tables, and how these look in Markdown, on a terminal and on the HTML page.
//!
//! What belongs here: layout and escaping. What does not: the contents (`sections`, `html`).

use askama::Template;
use comfy_table::{CellAlignment, ContentArrangement, presets};

use crate::words::{Word, mark, printable};

/// Shown where a table has no value.
pub(crate) const NONE: &str = "–";

/// One part of a document.
pub(crate) enum Block {
    /// The title of the whole.
    Title(String),
    Heading(String),
    Text(String),
    List(Vec<String>),
    /// Names and figures.
    Figures(Vec<(&'static str, String)>),
    /// An address with its name; left out on a terminal.
    Link(&'static str, String),
    Table(Table),
    /// Commands for a shell.
    Code(String),
}

/// Rows of cells under named columns.
#[derive(Template, Default)]
#[template(path = "table.html")]
pub(crate) struct Table {
    /// Name for readers of screens, and a line above the table; for HTML alone.
    label: &'static str,
    caption: String,
    columns: Vec<(Kind, String)>,
    rows: Vec<Vec<Cell>>,
}

/// One column of a table: its contents and its head.
pub(crate) type Column<'a> = (Kind, &'a str);

/// A column with the cell that it has in a row.
pub(crate) type Maker<'a, T> = (Kind, &'a str, fn(&T) -> Cell);

/// Contents of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name of the row.
    Name,
    Words,
    Number,
    /// Sentences.
    Prose,
    /// Lines of code.
    Code,
    /// A long word of code, which may be broken.
    Hash,
}

impl Kind {
    /// Class of its cells.
    fn class(self) -> &'static str {
        match self {
            Self::Name | Self::Words => "",
            Self::Number => "num",
            Self::Prose => "prose",
            Self::Code => "lines",
            Self::Hash => "hash",
        }
    }
}

/// One cell; the fields beside its text are for HTML.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    /// A second, smaller line; may be empty.
    small: String,
    word: Option<Word>,
    /// Colour of the subject that it names.
    series: Option<usize>,
    is_strong: bool,
    is_bad: bool,
    /// Lines of code instead of the text.
    code: Vec<String>,
}

impl Cell {
    /// A subject with its colour.
    pub(crate) fn subject(name: &str, series: usize) -> Self {
        Self {
            series: Some(series),
            ..name.into()
        }
    }

    /// Lines of code; no value without any.
    pub(crate) fn code(lines: Vec<String>) -> Self {
        let text = (!lines.is_empty()).then(|| lines.join(" "));
        Self {
            code: lines,
            ..text.into()
        }
    }

    pub(crate) fn strong(self) -> Self {
        Self {
            is_strong: true,
            ..self
        }
    }

    pub(crate) fn with_small(self, small: impl Into<String>) -> Self {
        Self {
            small: small.into(),
            ..self
        }
    }

    /// In the colour of failures, where something failed.
    pub(crate) fn bad_if(self, is_bad: bool) -> Self {
        Self { is_bad, ..self }
    }

    fn is_absent(&self) -> bool {
        self.text == NONE
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Word> for Cell {
    fn from(word: Word) -> Self {
        Self {
            text: mark(word),
            word: Some(word),
            ..Self::default()
        }
    }
}

/// A value that may be missing.
impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(|| NONE.into(), Into::into)
    }
}

impl Table {
    pub(crate) fn new(columns: &[Column<'_>], rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        let columns = columns.iter().map(|(kind, head)| (*kind, (*head).to_owned()));
        Self {
            columns: columns.collect(),
            rows: rows.into_iter().collect(),
            ..Self::default()
        }
    }

    /// From rows, by columns that each make a cell of a row.
    pub(crate) fn of<T>(rows: impl IntoIterator<Item = T>, columns: &[Maker<'_, T>]) -> Self {
        let heads: Vec<Column<'_>> = columns.iter().map(|(kind, head, _)| (*kind, *head)).collect();
        let cells = |row: T| columns.iter().map(|(_, _, cell)| cell(&row)).collect();
        Self::new(&heads, rows.into_iter().map(cells))
    }

    /// With what HTML says about it.
    pub(crate) fn captioned(self, label: &'static str, caption: impl Into<String>) -> Self {
        Self {
            label,
            caption: caption.into(),
            ..self
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// None without rows.
    pub(crate) fn if_any(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }

    /// Heads for HTML, and whether numbers stand below.
    fn heads(&self) -> impl Iterator<Item = (bool, &str)> {
        let columns = self.columns.iter();
        columns.map(|(kind, head)| (*kind == Kind::Number, head.as_str()))
    }

    /// Cells of a row for HTML: whether it names the row, its class and itself.
    fn cells<'a>(&self, row: &'a [Cell]) -> impl Iterator<Item = (bool, String, &'a Cell)> {
        let cells = self.columns.iter().zip(row);
        cells.map(|((kind, _), cell)| {
            let tone = if cell.is_bad { " tone-bad" } else { "" };
            (*kind == Kind::Name, format!("{}{tone}", kind.class()), cell)
        })
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let head = line(self.columns.iter().map(|(_, head)| prose(head)).collect());
        let rule = |kind: Kind| if kind == Kind::Number { "---:|" } else { "---|" };
        let rule: String = self.columns.iter().map(|(kind, _)| rule(*kind)).collect();
        let rows = self.rows.iter();
        let rows = rows.map(|row| line(row.iter().map(|cell| prose(&cell.text)).collect()));
        [head, format!("|{rule}")]
            .into_iter()
            .chain(rows)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// For a terminal of `width` columns; as wide as it needs without one.
    pub(crate) fn text(&self, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        let head = self.columns.iter().map(|(_, head)| printable(head));
        table.load_style(presets::NOTHING).set_header(head);
        if let Some(width) = width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width);
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| printable(&cell.text)));
        }
        let columns = self.columns.iter().enumerate();
        for (index, _) in columns.filter(|(_, (kind, _))| *kind == Kind::Number) {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

/// The blocks as Markdown that shows exactly their text.
pub(crate) fn markdown(blocks: &[Block]) -> String {
    let list = |lines: Vec<String>| lines.join("\n");
    let block = |block: &Block| match block {
        Block::Title(text) => format!("## {}", prose(text)),
        Block::Heading(text) => format!("### {}", prose(text)),
        Block::Text(text) => prose(text),
        Block::List(items) => list(items.iter().map(|item| format!("- {}", prose(item))).collect()),
        Block::Figures(figures) => {
            let line = |(name, value): &(&str, String)| format!("- {}: **{}**", prose(name), prose(value));
            list(figures.iter().map(line).collect())
        }
        Block::Link(name, address) => link(name, address),
        Block::Table(table) => table.markdown(),
        Block::Code(text) => fenced(text),
    };
    joined(blocks.iter().map(block))
}

/// The blocks for a terminal.
pub(crate) fn text(blocks: &[Block], width: Option<u16>) -> String {
    let list = |lines: Vec<String>| lines.join("\n");
    let block = |block: &Block| match block {
        Block::Title(text) | Block::Text(text) => printable(text),
        Block::Heading(text) => printable(&format!("{text}\n{}", "─".repeat(text.chars().count()))),
        Block::List(items) => list(items.iter().map(|item| printable(&format!("- {item}"))).collect()),
        Block::Figures(figures) => {
            let line = |(name, value): &(&str, String)| printable(&format!("- {name}: {value}"));
            list(figures.iter().map(line).collect())
        }
        Block::Link(..) => String::new(),
        Block::Table(table) => table.text(width),
        Block::Code(text) => printable(&format!("    {text}")),
    };
    joined(blocks.iter().map(block))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("\n\n") + "\n"
}

/// Text as Markdown that shows exactly that text, on one line and within one table cell.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An at sign would notify whoever bears the name.
            '@' => out.push_str("&#64;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out
}

/// Within angle brackets an address may hold anything but these and line breaks.
fn link(name: &str, address: &str) -> String {
    let is_safe = |c: &char| !matches!(c, '<' | '>' | '\n' | '\r');
    format!("[{name}](<{}>)", address.chars().filter(is_safe).collect::<String>())
}

/// A code block, by a fence longer than any run of backticks in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{}\n{fence}", printable(text))
}
