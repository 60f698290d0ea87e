//! The n best of a row of logits in one pass, without sorting the row. Called by the sampler (top_k) and for top
//! log-probabilities.

use std::cmp::Ordering;

/// Higher logits first, lower ids first among equals: a total order, so every selection has one answer.
pub(super) fn better(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.partial_cmp(&a.1)
        .unwrap_or(Ordering::Equal)
        .then(a.0.cmp(&b.0))
}

/// The `n` best `(id, logit)` of the row with logits of at least `floor`, in no particular order; -inf is never among
/// them. Holds at most `2 n + 64` candidates: when full, the worse half goes and its best raises the bar.
pub(super) fn best(logits: &[f32], n: usize, floor: f32) -> Vec<(u32, f32)> {
    let n = n.min(logits.len());
    if n == 0 {
        return Vec::new();
    }
    let limit = 2 * n + 64;
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(limit.min(logits.len()));
    // The first test is cheap and mostly false; equals of the bar come later in the row, so they are worse.
    let mut bar = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > bar && logit >= floor {
            kept.push((id as u32, logit));
            if kept.len() == limit {
                kept.select_nth_unstable_by(n - 1, better);
                kept.truncate(n);
                bar = kept[n - 1].1;
            }
        }
    }
    if kept.len() > n {
        kept.select_nth_unstable_by(n - 1, better);
        kept.truncate(n);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn equals_a_full_sort_with_ties_and_holes() {
        let mut random = Random::new(Some(3));
        for round in 0..200 {
            let width = 1 + (random.next() % 700) as usize;
            let logits: Vec<f32> = (0..width)
                .map(|_| match random.next() % 10 {
                    0 => f32::NEG_INFINITY,
                    _ => (random.next() % 40) as f32 - 20.0,
                })
                .collect();
            let floor = if round % 2 == 0 {
                f32::NEG_INFINITY
            } else {
                0.0
            };
            let n = (random.next() % 90) as usize;
            let mut expected: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
            expected.retain(|(_, l)| *l > f32::NEG_INFINITY && *l >= floor);
            expected.sort_by(better);
            expected.truncate(n);
            let mut found = best(&logits, n, floor);
            found.sort_by(better);
            assert_eq!(found, expected);
        }
    }
}
