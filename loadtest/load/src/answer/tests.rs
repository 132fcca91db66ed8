//! Answers as servers send them, cut in every possible way.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;

const PLAIN: Expecting = Expecting {
    head_only: false,
    body: false,
};
const KEEP: Expecting = Expecting {
    head_only: false,
    body: true,
};

/// Puts as many of `bytes` into the answer as it takes at once; whether it is complete.
fn feed(answer: &mut Answer, bytes: &mut &[u8], at_most: usize) -> Result<bool, Malformed> {
    let space = answer.space();
    let count = space.len().min(bytes.len()).min(at_most);
    assert!(count > 0, "there is always room");
    space[..count].copy_from_slice(&bytes[..count]);
    *bytes = &bytes[count..];
    answer.add(count)
}

/// Reads `bytes` in pieces of `at_most`, and then the end of the connection if that is needed.
fn read(expecting: Expecting, bytes: &[u8], at_most: usize) -> Result<Answer, Malformed> {
    let mut answer = Answer::new();
    answer.expect(expecting);
    let mut left = bytes;
    while !left.is_empty() {
        if feed(&mut answer, &mut left, at_most)? {
            return Ok(answer);
        }
    }
    answer.add(0).map(|complete| {
        assert!(complete);
        answer
    })
}

/// Status, body, length of the body, and whether the connection can be used again; the same however the bytes are cut.
#[track_caller]
fn assert_reads(expecting: Expecting, bytes: &[u8], expected: (u16, &str, u64, bool)) {
    for at_most in [1, 2, 3, 7, usize::MAX] {
        let answer = read(expecting, bytes, at_most).unwrap();
        let body = std::str::from_utf8(answer.body()).unwrap();
        assert_eq!(
            (answer.status(), body, answer.bytes(), answer.is_reusable()),
            expected,
            "in pieces of {at_most}"
        );
    }
}

#[track_caller]
fn assert_refuses(bytes: &[u8], why: Malformed) {
    for at_most in [7, 997, usize::MAX] {
        assert_eq!(read(KEEP, bytes, at_most).map(|answer| answer.status()), Err(why));
    }
}

#[test]
fn a_body_of_known_length_is_read_to_its_end_and_kept_only_where_asked() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_reads(KEEP, bytes, (200, "hello", 5, true));
    assert_reads(PLAIN, bytes, (200, "", 5, true));
    assert_reads(
        PLAIN,
        b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nhello",
        (500, "hello", 5, true),
    );
    assert_reads(
        KEEP,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (200, "", 0, true),
    );
}

#[test]
fn chunks_are_joined_and_their_trailers_passed_over() {
    assert_reads(
        KEEP,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          4\r\nRust\r\nA;x=y\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n",
        (200, "Rust0123456789", 14, true),
    );
    // An encoding outweighs a length.
    assert_reads(
        KEEP,
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        (200, "a", 1, true),
    );
}

#[test]
fn without_a_length_the_body_ends_with_the_connection() {
    assert_reads(KEEP, b"HTTP/1.1 200 OK\r\n\r\nall of it", (200, "all of it", 9, false));
    assert_reads(KEEP, b"HTTP/1.1 200 OK\r\n\r\n", (200, "", 0, false));
}

#[test]
fn some_answers_have_no_body_whatever_their_head_says() {
    let head = Expecting {
        head_only: true,
        ..KEEP
    };
    assert_reads(
        head,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        (200, "", 0, true),
    );
    assert_reads(
        KEEP,
        b"HTTP/1.1 304 Same\r\ncontent-length: 5\r\n\r\n",
        (304, "", 0, true),
    );
    assert_reads(KEEP, b"HTTP/1.1 204 None\r\n\r\n", (204, "", 0, true));
}

#[test]
fn interim_answers_are_passed_over() {
    assert_reads(
        KEEP,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n\
          HTTP/1.1 201 Made\r\ncontent-length: 1\r\n\r\nx",
        (201, "x", 1, true),
    );
    assert_reads(KEEP, b"HTTP/1.1 101 Switching\r\n\r\n", (101, "", 0, false));
}

#[test]
fn a_connection_is_used_again_only_when_both_sides_know_where_they_are() {
    let closing = |version: &str, connection: &str| {
        let bytes = format!("HTTP/{version} 200 OK\r\nconnection: {connection}\r\ncontent-length: 1\r\n\r\nx");
        read(PLAIN, bytes.as_bytes(), usize::MAX).unwrap().is_reusable()
    };
    assert!(!closing("1.1", "Foo, Close"));
    assert!(closing("1.1", "keep-alive"));
    assert!(closing("1.0", "Keep-Alive"));
    assert!(!closing("1.0", "foo"));
    let behind = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP";
    assert!(!read(PLAIN, behind, usize::MAX).unwrap().is_reusable());
}

#[test]
fn what_is_no_answer_says_why() {
    assert_refuses(b"", Malformed::Nothing);
    assert_refuses(b"HTTP/1.1 200 O", Malformed::Cut);
    assert_refuses(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", Malformed::Cut);
    assert_refuses(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        Malformed::Cut,
    );
    assert_refuses(b"SSH-2.0-x\r\n", Malformed::Head(httparse::Error::Version));
    for length in ["-1", "5, 6", "x", "99999999999999999999"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nhello");
        assert_refuses(bytes.as_bytes(), Malformed::Length);
    }
    assert_refuses(
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        Malformed::Length,
    );
    for chunk in ["\r\n", "z\r\n", "-1\r\n", "1\r\nab\r\n"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        assert_refuses(bytes.as_bytes(), Malformed::Chunk);
    }
}

#[test]
fn what_never_ends_is_refused_before_it_fills_the_memory() {
    let long = "x".repeat(2 * INPUT_BYTES);
    assert_refuses(
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n").as_bytes(),
        Malformed::LongHead,
    );
    let interim = "HTTP/1.1 102 Wait\r\n\r\n".repeat(INPUT_BYTES / 20);
    assert_refuses(interim.as_bytes(), Malformed::LongHead);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_refuses(format!("{chunked}1;{long}").as_bytes(), Malformed::Chunk);
    assert_refuses(format!("{chunked}0\r\nx: {long}").as_bytes(), Malformed::Chunk);
}

#[test]
fn a_body_larger_than_what_is_kept_is_counted_and_not_whole() {
    let length = MAX_KEPT_BYTES + 5;
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + length, b'x');
    let answer = read(KEEP, &bytes, usize::MAX).unwrap();
    assert_eq!((answer.bytes(), answer.body().len()), (length as u64, MAX_KEPT_BYTES));
    assert!(!answer.is_whole() && answer.is_reusable());
}

#[test]
fn headers_are_found_whatever_their_case() {
    let bytes =
        b"HTTP/1.1 200 OK\r\nX-Version:  7 \r\nx-version: 8\r\nempty:\r\nbad: \xff\r\ncontent-length: 0\r\n\r\n";
    let answer = read(PLAIN, bytes, usize::MAX).unwrap();
    assert_eq!(answer.header("x-version"), Some("7"));
    assert_eq!((answer.header("empty"), answer.header("bad")), (Some(""), None));
    assert_eq!(
        (answer.header("x-versio"), answer.header("HTTP/1.1 200 OK")),
        (None, None)
    );
}

/// The second answer on a connection sees nothing of the first.
#[test]
fn an_answer_forgets_the_one_before() {
    let mut answer = read(KEEP, b"HTTP/1.1 500 No\r\nx: 1\r\n\r\nwhy", usize::MAX).unwrap();
    answer.expect(KEEP);
    let mut bytes: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    assert!(feed(&mut answer, &mut bytes, usize::MAX).unwrap());
    assert_eq!(
        (answer.status(), answer.body(), answer.header("x")),
        (200, &b"ok"[..], None)
    );
    assert!(answer.is_reusable());
}

proptest! {
    /// Chunks of any lengths, read in pieces of any length, are the body that was sent.
    #[test]
    fn a_chunked_body_comes_out_as_it_went_in(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9_000), 0..12),
        at_most in 1..40_000_usize,
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-version: 3\r\n\r\n".to_vec();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let answer = read(KEEP, &bytes, at_most).unwrap();
        prop_assert_eq!(answer.body(), chunks.concat());
        prop_assert_eq!(answer.header("x-version"), Some("3"));
        prop_assert!(answer.is_reusable());
    }

    /// Whatever a server sends, nothing panics, and what is kept stays within its bound.
    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        at_most in 1..50_usize,
    ) {
        for prefix in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"] {
            let all = [prefix, &bytes].concat();
            if let Ok(answer) = read(KEEP, &all, at_most) {
                prop_assert!(answer.body().len() as u64 <= answer.bytes());
            }
        }
    }
}

/// RFC 9110, sections 5.5 and 8.6; RFC 9112, sections 6.3 and 7.1.1.
#[test]
fn what_the_standards_allow_is_understood() {
    for length in ["\t2\t", "2 \t", "2, 2", "2,2", " 2 ,\t2"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length:{length}\r\n\r\nok");
        assert_reads(KEEP, bytes.as_bytes(), (200, "ok", 2, true));
    }
    for unlike in ["2, 3", "2,", ",2", "", "+2", "2 2", "0x2", "-2"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {unlike}\r\n\r\nok");
        assert_refuses(bytes.as_bytes(), Malformed::Length);
    }
    for extension in [
        ";a=\"b\"",
        "; a = \"b;c\"",
        " ;a=\"say \\\"hi\\\"\"",
        ";a=\"\t é\";b",
        "\t;x",
        ";a=\"2,2\"",
        " ",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2{extension}\r\nok\r\n0\r\n\r\n");
        assert_reads(KEEP, bytes.as_bytes(), (200, "ok", 2, true));
    }
}

/// Answers that were kept because they are odd, or were once read wrongly.
fn corpus() -> Vec<Vec<u8>> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/answers");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A text with a few random changes: bytes that servers get wrong, pieces left out, doubled, or taken from another.
fn changed(corpus: &[Vec<u8>], rng: &mut ChaCha8Rng) -> Vec<u8> {
    const TELLING: &[&[u8]] = &[
        b"\r\n", b"\n", b"\r", b"\0", b"0", b"f", b";", b"\"", b",", b":", b" ", b"\t", b"\xff", b"chunked",
    ];
    let mut text = corpus[rng.random_range(0..corpus.len())].clone();
    for _ in 0..rng.random_range(0..5) {
        let at = rng.random_range(0..=text.len());
        let to = (at + rng.random_range(0..8)).min(text.len());
        let piece = match rng.random_range(0..4) {
            0 => Vec::new(),
            1 => text[at..to].repeat(2),
            2 => TELLING[rng.random_range(0..TELLING.len())].to_vec(),
            _ => {
                let other = &corpus[rng.random_range(0..corpus.len())];
                other[rng.random_range(0..=other.len())..].to_vec()
            }
        };
        text.splice(at..to, piece);
    }
    text
}

/// Whatever is done to an answer, it is read or refused, the same however it is cut, and within its memory.
#[test]
fn answers_changed_at_random_are_read_alike_however_they_are_cut() {
    let (corpus, mut rng) = (corpus(), ChaCha8Rng::seed_from_u64(20));
    for round in 0..20_000 {
        let text = changed(&corpus, &mut rng);
        let expecting = Expecting {
            head_only: round % 7 == 0,
            body: round % 2 == 0,
        };
        let seen = |at_most: usize| {
            read(expecting, &text, at_most).map(|answer| {
                assert!(answer.body().len() as u64 <= answer.bytes());
                (
                    answer.status(),
                    answer.bytes(),
                    answer.body().to_vec(),
                    answer.header("x-version").map(str::to_owned),
                )
            })
        };
        let whole = seen(usize::MAX);
        for at_most in [1, 3, rng.random_range(2..40)] {
            assert_eq!(
                seen(at_most),
                whole,
                "in pieces of {at_most}: {:?}",
                String::from_utf8_lossy(&text)
            );
        }
    }
}
