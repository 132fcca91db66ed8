//! The order of the slices of a block: Thue-Morse, which cancels drift up to the third degree.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Slices of a block, eight of each subject.
pub const SLICES: usize = 16;

/// Which subject a slice loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The subject compared against (A).
    Before,
    /// The subject judged (B).
    After,
}

/// Sides of the slices of block `block`: ABBABAABBAABABBA, or its complement by a coin that `seed` and block decide.
pub fn slices(seed: u64, block: u32) -> [Side; SLICES] {
    let complemented = coin(seed, u64::from(block));
    std::array::from_fn(|position| {
        if (position.count_ones() % 2 == 1) == complemented {
            Side::Before
        } else {
            Side::After
        }
    })
}

/// Which subject of block `block` is cloned, launched and warmed up first: by a coin of its own, so that whatever the
/// first one gains or loses by it hits both alike.
pub fn first(seed: u64, block: u32) -> Side {
    if coin(seed, LAUNCHES + u64::from(block)) {
        Side::After
    } else {
        Side::Before
    }
}

/// Streams of the coins of launches; the orders of slices have those below.
const LAUNCHES: u64 = 1 << 32;

/// One fair bit per stream.
fn coin(seed: u64, stream: u64) -> bool {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng.next_u64() & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(order: [Side; SLICES]) -> String {
        order
            .iter()
            .map(|side| if *side == Side::Before { 'A' } else { 'B' })
            .collect()
    }

    #[test]
    fn blocks_run_in_thue_morse_order_or_its_complement() {
        let orders: Vec<String> = (0..200).map(|block| letters(slices(7, block))).collect();
        let (plain, complement) = ("ABBABAABBAABABBA", "BAABABBAABBABAAB");
        assert!(orders.iter().all(|order| order == plain || order == complement));
        let plain = orders.iter().filter(|order| *order == plain).count();
        assert!((70..=130).contains(&plain), "{plain} of 200");
        assert_eq!(letters(slices(7, 3)), letters(slices(7, 3)));
    }

    #[test]
    fn either_subject_comes_first_whatever_the_order_of_the_slices() {
        let drawn: Vec<(Side, Side)> = (0..400).map(|block| (first(7, block), slices(7, block)[0])).collect();
        for wanted in [
            (Side::Before, Side::Before),
            (Side::Before, Side::After),
            (Side::After, Side::Before),
            (Side::After, Side::After),
        ] {
            let count = drawn.iter().filter(|found| **found == wanted).count();
            assert!((70..=130).contains(&count), "{wanted:?}: {count} of 400");
        }
    }

    #[test]
    fn every_pair_holds_one_slice_of_each_subject() {
        for block in 0..10 {
            for pair in slices(1, block).chunks(2) {
                assert_ne!(pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn drift_up_to_the_third_degree_cancels() {
        for degree in 0..=3 {
            let sum: f64 = slices(1, 0)
                .iter()
                .enumerate()
                .map(|(position, side)| {
                    let drift = (position as f64).powi(degree);
                    if *side == Side::Before { drift } else { -drift }
                })
                .sum();
            assert!(sum.abs() < 1e-9, "degree {degree}: {sum}");
        }
    }
}
