//! Figures that are more than one number: sizes of steps in buckets, and what came of guesses. The loop counts, metrics show.

use super::lookup::LONGEST;

/// Upper bounds of the buckets of step sizes; one more bucket takes what is larger.
pub const STEP_SIZES: [usize; 13] = [
    1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384,
];

/// Rows of the steps run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepSizes {
    /// Steps by size, not cumulated: at most the bound of the same index, more than the one before.
    pub buckets: [u64; STEP_SIZES.len() + 1],
    /// Rows of all steps together.
    pub rows: u64,
}

impl StepSizes {
    /// Counts a step of so many rows.
    pub(super) fn add(&mut self, rows: usize) {
        self.buckets[STEP_SIZES.partition_point(|&bound| bound < rows)] += 1;
        self.rows += rows as u64;
    }
}

/// Guesses of what comes next, and what came of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    /// Guesses made.
    pub made: u64,
    /// Tokens in them.
    pub tokens: u64,
    /// How many of those came true, by their position in the guess.
    pub right: [u64; LONGEST],
}

impl Guesses {
    /// Counts a guess of so many tokens, of which the first `right` came true.
    pub(super) fn add(&mut self, tokens: usize, right: usize) {
        if tokens == 0 {
            return;
        }
        self.made += 1;
        self.tokens += tokens as u64;
        for count in self.right.iter_mut().take(right) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_counts_in_the_first_bucket_that_holds_it() {
        let mut sizes = StepSizes::default();
        for rows in [1, 2, 8, 9, 16384, 16385] {
            sizes.add(rows);
        }
        assert_eq!(sizes.buckets[..3], [1, 2, 1]);
        assert_eq!(sizes.buckets[12..], [1, 1]);
        assert_eq!(sizes.rows, 1 + 2 + 8 + 9 + 16384 + 16385);
    }

    #[test]
    fn guesses_count_by_position_and_none_is_no_guess() {
        let mut guesses = Guesses::default();
        for (tokens, right) in [(0, 0), (4, 0), (4, 2), (12, 12)] {
            guesses.add(tokens, right);
        }
        assert_eq!((guesses.made, guesses.tokens), (3, 20));
        assert_eq!(guesses.right[..4], [2, 2, 1, 1]);
    }
}
