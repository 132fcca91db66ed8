//! Criterion microbenchmarks: the cache's paths and codecs, each beside its rival in the same run, because only the
//! ratio of two figures from one run means anything. The benchmarks themselves are in `benches/`; what several of them
//! need, and the table of ratios at the end, is here.

pub mod ratios;

use bytes::Bytes;

/// A body as long as a typical JSON answer of the reference service.
pub fn sample_body() -> Bytes {
    Bytes::from(vec![b'x'; 600])
}
