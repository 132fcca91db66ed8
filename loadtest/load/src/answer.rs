//! An answer while it is being read: where its head ends, where its body does (HTTP/1.1: RFC 9112, section 6), and what
//! is kept of it.
//!
//! What belongs here: understanding bytes, however they are cut. What does not: where they come from (`connection`),
//! and what an answer is worth (`caller`).

use std::{mem::MaybeUninit, ops::Range};

use http::HeaderMap;
use httparse::{Header, ParserConfig, Status};

use crate::encoding::Encoding;

/// Bytes of an unexpected answer's body that are kept for the error message.
const EXCERPT_BYTES: usize = 300;
/// Bytes of a body that are kept to look into: more than any answer that a user waits for, small beside 256
/// connections.
const MAX_KEPT_BYTES: usize = 1024 * 1024;
/// Read at once: most answers whole; 256 connections need 8 MB.
const INPUT_BYTES: usize = 32 * 1024;
/// Longest head, interim answers included: what is left of the input must be enough to go on with the body.
const MAX_HEAD_BYTES: usize = 24 * 1024;
/// Most header lines of an answer, as many as hyper takes.
const MAX_HEADERS: usize = 100;

/// Parts of an answer that will be looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expecting {
    /// The request's method was HEAD: no body follows, whatever the head says.
    pub(crate) head_only: bool,
    /// The body is kept whole, up to [`MAX_KEPT_BYTES`].
    pub(crate) body: bool,
}

/// Why bytes are no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the answer is not HTTP/1.1: {0}")]
    Head(httparse::Error),
    #[error("the head of the answer is longer than {MAX_HEAD_BYTES} bytes")]
    LongHead,
    #[error("the answer has no usable content-length")]
    Length,
    #[error("the answer has a broken chunk")]
    Chunk,
    #[error("the connection was closed before the answer was complete")]
    Cut,
    #[error("the connection was closed before an answer came")]
    Nothing,
}

/// The current answer of a connection. Its memory is reused by the next one.
pub(crate) struct Answer {
    input: Box<[u8]>,
    /// What has been read into `input`.
    filled: usize,
    /// What has been understood of it.
    understood: usize,
    /// Where in `input` the head of the answer stands; it stays there while the body passes through what is behind it.
    head: Range<usize>,
    /// The headers of an answer that came in frames (HTTP/2), which has no text.
    fields: Option<HeaderMap>,
    stage: Stage,
    expecting: Expecting,
    status: u16,
    bytes: u64,
    body: Vec<u8>,
    /// How the body is compressed.
    encoding: Option<Encoding>,
    /// Length of its content, once it is unpacked.
    content_bytes: Option<u64>,
    /// Bytes of the body to keep.
    room: usize,
    keeps_alive: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    /// So many bytes of a body of known length.
    Body(u64),
    /// A body that ends where the connection does.
    BodyUntilClosed,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Complete,
}

/// A parsed head: the status, and how the body behind it ends.
struct Head {
    status: u16,
    length: usize,
    framing: Framing,
    encoding: Option<Encoding>,
    keeps_alive: bool,
}

/// How a body is delimited, as far as the headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Answer {
    /// Room for answers, none yet.
    pub(crate) fn new() -> Self {
        Self {
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            filled: 0,
            understood: 0,
            head: 0..0,
            fields: None,
            stage: Stage::Head,
            expecting: Expecting {
                head_only: false,
                body: false,
            },
            status: 0,
            bytes: 0,
            body: Vec::new(),
            encoding: None,
            content_bytes: None,
            room: 0,
            keeps_alive: true,
        }
    }

    /// Forgets the answer before and waits for the next one.
    pub(crate) fn expect(&mut self, expecting: Expecting) {
        (self.filled, self.understood, self.head) = (0, 0, 0..0);
        (self.stage, self.expecting) = (Stage::Head, expecting);
        (self.status, self.bytes, self.keeps_alive) = (0, 0, true);
        (self.fields, self.encoding, self.content_bytes) = (None, None, None);
        self.body.clear();
    }

    /// Where the next bytes go; never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.stage != Stage::Head {
            self.forget_understood();
        }
        &mut self.input[self.filled..]
    }

    /// What was understood of the body makes room; the head stays, and so does half a chunk line.
    fn forget_understood(&mut self) {
        let floor = self.head.end;
        if self.understood == floor {
            return;
        }
        self.input.copy_within(self.understood..self.filled, floor);
        self.filled -= self.understood - floor;
        self.understood = floor;
    }

    /// Understands the next `count` bytes, which stand in [`space`](Self::space); none mean that the connection was
    /// closed. Whether the answer is complete.
    pub(crate) fn add(&mut self, count: usize) -> Result<bool, Malformed> {
        if count == 0 {
            return self.closed();
        }
        self.filled += count;
        while self.stage != Stage::Complete && self.advance()? {}
        Ok(self.stage == Stage::Complete)
    }

    /// A body may end like this; anything else may not.
    fn closed(&mut self) -> Result<bool, Malformed> {
        self.keeps_alive = false;
        match self.stage {
            Stage::BodyUntilClosed => {
                self.stage = Stage::Complete;
                Ok(true)
            }
            Stage::Head if self.filled == 0 => Err(Malformed::Nothing),
            _ => Err(Malformed::Cut),
        }
    }

    /// Goes one stage on; false when that takes more bytes.
    fn advance(&mut self) -> Result<bool, Malformed> {
        match self.stage {
            Stage::Head => self.head(),
            Stage::Body(left) => Ok(self.data(left, Stage::Body, Stage::Complete)),
            Stage::BodyUntilClosed => Ok(self.data(u64::MAX, |_| Stage::BodyUntilClosed, Stage::Complete)),
            Stage::ChunkSize => self.chunk_size(),
            Stage::Chunk(left) => Ok(self.data(left, Stage::Chunk, Stage::ChunkEnd)),
            Stage::ChunkEnd => self.chunk_end(),
            Stage::Trailers => self.trailer(),
            Stage::Complete => Ok(false),
        }
    }

    fn rest(&self) -> &[u8] {
        &self.input[self.understood..self.filled]
    }

    fn head(&mut self) -> Result<bool, Malformed> {
        let Some(head) = parse_head(self.rest())? else {
            return if self.filled < MAX_HEAD_BYTES {
                Ok(false)
            } else {
                Err(Malformed::LongHead)
            };
        };
        let begins = self.understood;
        self.understood += head.length;
        if self.understood > MAX_HEAD_BYTES {
            return Err(Malformed::LongHead);
        }
        // Interim answers (RFC 9110, section 15.2) announce the one that counts; only 101 is itself the answer.
        if (100..200).contains(&head.status) && head.status != 101 {
            return Ok(true);
        }
        self.head = begins..self.understood;
        (self.status, self.keeps_alive) = (head.status, head.keeps_alive && head.status != 101);
        self.encoding = head.encoding;
        self.room = self.room_for(head.status);
        self.stage = self.stage_after(&head);
        Ok(true)
    }

    /// Bytes of a body that are kept.
    fn room_for(&self, status: u16) -> usize {
        match (self.expecting.body || self.encoding.is_some(), status) {
            (true, _) => MAX_KEPT_BYTES,
            (false, 200..300) => 0,
            (false, _) => EXCERPT_BYTES,
        }
    }

    /// Takes the head of an answer that comes in frames.
    pub(crate) fn begin_content(&mut self, status: u16, fields: HeaderMap) {
        self.encoding = fields
            .get(http::header::CONTENT_ENCODING)
            .and_then(|value| Encoding::of(value.as_bytes()));
        self.room = self.room_for(status);
        (self.status, self.fields) = (status, Some(fields));
        self.stage = Stage::BodyUntilClosed;
    }

    /// Takes a part of the body of an answer that comes in frames.
    pub(crate) fn add_content(&mut self, data: &[u8]) {
        let kept = data.len().min(self.room - self.body.len());
        self.body.extend_from_slice(&data[..kept]);
        self.bytes += data.len() as u64;
    }

    /// The answer that comes in frames is complete.
    pub(crate) fn end_content(&mut self) {
        self.stage = Stage::Complete;
    }

    fn stage_after(&self, head: &Head) -> Stage {
        if self.expecting.head_only || matches!(head.status, 101 | 204 | 304) {
            return Stage::Complete;
        }
        match head.framing {
            Framing::Length(0) => Stage::Complete,
            Framing::Length(length) => Stage::Body(length),
            Framing::Chunked => Stage::ChunkSize,
            Framing::UntilClosed => Stage::BodyUntilClosed,
        }
    }

    /// Up to `left` bytes of the body; `unfinished` with what is still to come, or `then`.
    fn data(&mut self, left: u64, unfinished: impl Fn(u64) -> Stage, then: Stage) -> bool {
        let there = self.rest().len();
        let taken = usize::try_from(left).map_or(there, |left| left.min(there));
        let kept = taken.min(self.room - self.body.len());
        self.body
            .extend_from_slice(&self.input[self.understood..self.understood + kept]);
        self.understood += taken;
        self.bytes += taken as u64;
        let left = left - taken as u64;
        self.stage = if left == 0 { then } else { unfinished(left) };
        left == 0
    }

    fn chunk_size(&mut self) -> Result<bool, Malformed> {
        if self.rest().first().is_some_and(|first| !first.is_ascii_hexdigit()) {
            return Err(Malformed::Chunk);
        }
        match httparse::parse_chunk_size(self.rest()) {
            Ok(Status::Complete((length, size))) => {
                self.understood += length;
                self.stage = if size == 0 { Stage::Trailers } else { Stage::Chunk(size) };
                Ok(true)
            }
            Ok(Status::Partial) => self.more_of_a_line(),
            Err(_) => Err(Malformed::Chunk),
        }
    }

    fn chunk_end(&mut self) -> Result<bool, Malformed> {
        match self.rest() {
            [b'\r', b'\n', ..] => {
                self.understood += 2;
                self.stage = Stage::ChunkSize;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            _ => Err(Malformed::Chunk),
        }
    }

    /// Lines after the last chunk, up to an empty one; nobody looks at them.
    fn trailer(&mut self) -> Result<bool, Malformed> {
        let Some(end) = self.rest().iter().position(|byte| *byte == b'\n') else {
            return self.more_of_a_line();
        };
        let is_last = matches!(&self.rest()[..end], [] | [b'\r']);
        self.understood += end + 1;
        if is_last {
            self.stage = Stage::Complete;
        }
        Ok(true)
    }

    /// A line that fills all the room there is will not end.
    fn more_of_a_line(&self) -> Result<bool, Malformed> {
        if self.rest().len() < INPUT_BYTES - self.head.end {
            Ok(false)
        } else {
            Err(Malformed::Chunk)
        }
    }

    /// Whether no byte of it has come.
    pub(crate) fn is_untouched(&self) -> bool {
        self.filled == 0 && self.fields.is_none()
    }

    /// Whether the connection can take another request: it stays open, and nothing came behind the answer.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps_alive && self.stage == Stage::Complete && self.understood == self.filled
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// A header as text, the first of its name; `None` when it is not there or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.values(name).next()?).ok().map(str::trim)
    }

    /// All headers of a name that are text.
    pub(crate) fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let texts = self.values(name).filter_map(|value| std::str::from_utf8(value).ok());
        texts.map(str::trim)
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = self.fields.iter().flat_map(move |fields| fields.get_all(name));
        let fields = fields.map(http::HeaderValue::as_bytes);
        let lines = self.input[self.head.clone()].split(|byte| *byte == b'\n').skip(1);
        let lines = lines.filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon]
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| &line[colon + 1..])
        });
        lines.chain(fields)
    }

    /// Length of the body as it came.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of its content, where it came compressed and was [unpacked](Self::unpack).
    pub(crate) fn content_bytes(&self) -> Option<u64> {
        self.content_bytes
    }

    /// Puts the content of a compressed body in its place. One of which not everything was kept stays as it came.
    ///
    /// # Errors
    /// In words, when it is not what its head says.
    pub(crate) fn unpack(&mut self) -> Result<(), String> {
        let Some(encoding) = self
            .encoding
            .filter(|_| self.bytes > 0 && self.bytes == self.body.len() as u64)
        else {
            return Ok(());
        };
        let unpacked = encoding.unpack(&self.body, MAX_KEPT_BYTES);
        let (content, length) = unpacked.map_err(|error| format!("the body is no {}: {error}", encoding.name()))?;
        (self.body, self.content_bytes) = (content, Some(length));
        Ok(())
    }

    /// What was kept of the body.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the whole body was kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.content_bytes.unwrap_or(self.bytes) == self.body.len() as u64
    }

    /// The beginning of the body, for a message.
    pub(crate) fn excerpt(&self) -> String {
        let cut = &self.body[..self.body.len().min(EXCERPT_BYTES)];
        String::from_utf8_lossy(cut).trim().to_owned()
    }
}

/// `None` while the head is not there to its end.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let parsing = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut lines);
    let Status::Complete(length) = parsing.map_err(Malformed::Head)? else {
        return Ok(None);
    };
    let (status, is_1_1) = (parsed.code.unwrap_or_default(), parsed.version == Some(1));
    Ok(Some(Head {
        status,
        length,
        framing: framing(parsed.headers)?,
        encoding: values(parsed.headers, "content-encoding").next().and_then(Encoding::of),
        keeps_alive: keeps_alive(is_1_1, parsed.headers),
    }))
}

fn values<'h>(headers: &'h [Header<'_>], name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value)
}

/// An encoding outweighs a length; several lengths must agree, on lines of their own or in a list (RFC 9112, 6.3).
fn framing(headers: &[Header<'_>]) -> Result<Framing, Malformed> {
    if let Some(encodings) = values(headers, "transfer-encoding").last() {
        let is_chunked = tokens(encodings)
            .last()
            .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
        return Ok(if is_chunked {
            Framing::Chunked
        } else {
            Framing::UntilClosed
        });
    }
    let mut framing = Framing::UntilClosed;
    for value in values(headers, "content-length") {
        for member in tokens(value) {
            let length = Framing::Length(whole_number(member).ok_or(Malformed::Length)?);
            if framing != Framing::UntilClosed && framing != length {
                return Err(Malformed::Length);
            }
            framing = length;
        }
    }
    Ok(framing)
}

fn whole_number(digits: &[u8]) -> Option<u64> {
    let only_digits = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| only_digits)?.parse().ok()
}

/// HTTP/1.1 stays open unless it says otherwise, HTTP/1.0 is closed unless it says otherwise.
fn keeps_alive(is_1_1: bool, headers: &[Header<'_>]) -> bool {
    let says = |word: &[u8]| {
        values(headers, "connection").any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(word)))
    };
    if is_1_1 { !says(b"close") } else { says(b"keep-alive") }
}

/// The parts of a comma-separated value.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;
