//! The random numbers of one sequence: xoshiro256++ seeded by SplitMix64. Called by the sampler.

/// A reproducible stream of random numbers (Blackman and Vigna, "Scrambled linear pseudorandom number generators").
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of this seed; without one, a stream of its own each time.
    pub(super) fn new(seed: Option<u64>) -> Self {
        let mut word = seed.unwrap_or_else(entropy);
        let state = [(); 4].map(|()| split_mix(&mut word));
        Self { state }
    }

    /// Uniform in [0, 1), 53 bits.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }
}

fn split_mix(word: &mut u64) -> u64 {
    *word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *word;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A hash map's random keys: the only entropy in the standard library.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of SplitMix64 from 0, and of xoshiro256++ from the state 1, 2, 3, 4.
        let mut word = 0;
        assert_eq!(split_mix(&mut word), 0xE220_A839_7B1D_CDAF);
        assert_eq!(split_mix(&mut word), 0x6E78_9E6A_A1B9_65F4);
        let mut random = Random {
            state: [1, 2, 3, 4],
        };
        assert_eq!([random.next(), random.next()], [41_943_041, 58_720_359]);
    }

    #[test]
    fn units_are_even_and_seeds_differ() {
        let mut random = Random::new(Some(7));
        let mean = (0..100_000).map(|_| random.unit()).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert_ne!(Random::new(Some(1)).next(), Random::new(Some(2)).next());
        assert_ne!(Random::new(None).next(), Random::new(None).next());
    }
}
