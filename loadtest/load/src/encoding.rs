//! Compressed bodies: told by their header, unpacked behind the last byte, when the time has been taken.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::MultiGzDecoder;

/// Compression of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Brotli,
}

/// Buffer of the brotli decoder.
const BROTLI_BUFFER_BYTES: usize = 4 * 1024;

impl Encoding {
    /// That of a header `content-encoding`; `None` for those that are not unpacked.
    pub(crate) fn of(header: &[u8]) -> Option<Self> {
        match header.trim_ascii() {
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => Some(Self::Gzip),
            name if name.eq_ignore_ascii_case(b"br") => Some(Self::Brotli),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    /// Unpacks `packed`: the content, up to `room` bytes of it, and its whole length.
    ///
    /// # Errors
    /// When it is no such data, or not all of it.
    pub(crate) fn unpack(self, packed: &[u8], room: usize) -> io::Result<(Vec<u8>, u64)> {
        let kept = Kept {
            content: Vec::new(),
            room,
            length: 0,
        };
        let kept = match self {
            Self::Gzip => {
                let mut decoder = MultiGzDecoder::new(kept);
                decoder.write_all(packed)?;
                decoder.finish()?
            }
            Self::Brotli => {
                let mut decoder = DecompressorWriter::new(kept, BROTLI_BUFFER_BYTES);
                decoder.write_all(packed)?;
                decoder.close()?;
                decoder
                    .into_inner()
                    .map_err(|_| io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off"))?
            }
        };
        Ok((kept.content, kept.length))
    }
}

/// Counts everything, and keeps its beginning.
struct Kept {
    content: Vec<u8>,
    room: usize,
    length: u64,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room - self.content.len());
        self.content.extend_from_slice(&bytes[..fits]);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_whole_and_what_is_cut_does_not() {
        let content = "content ".repeat(500);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let (kept, length) = Encoding::Gzip.unpack(&packed, 10).unwrap();
        assert_eq!((kept.as_slice(), length), (&content.as_bytes()[..10], 4_000));
        assert!(Encoding::Gzip.unpack(&packed[..packed.len() - 6], 10).is_err());
        assert!(Encoding::Gzip.unpack(b"no gzip", 10).is_err());
        // "content" by brotli, uncompressed: its own shortest form.
        let brotli = b"\x0b\x03\x80content\x03";
        assert_eq!(Encoding::Brotli.unpack(brotli, 100).unwrap(), (b"content".to_vec(), 7));
        assert!(Encoding::Brotli.unpack(&brotli[..6], 100).is_err());
        assert_eq!(Encoding::of(b" GZIP "), Some(Encoding::Gzip));
        assert_eq!(Encoding::of(b"zstd"), None);
    }
}
