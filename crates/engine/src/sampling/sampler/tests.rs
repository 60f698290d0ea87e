//! The draw against exact probabilities, and against a slow sampler that sorts.

use super::super::random::Random;
use super::*;

/// Probabilities after temperature, min_p, top_k and top_p, by sorting, in double precision.
fn exact(logits: &[f32], p: &SamplingParams) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let weight = |l: f32| ((f64::from(l) - max) / f64::from(p.temperature)).exp();
    let mut left: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    left.retain(|(_, l)| *l > f32::NEG_INFINITY && weight(*l) >= f64::from(p.min_p));
    left.sort_by(better);
    left.truncate(p.top_k.map_or(usize::MAX, |k| k as usize));
    let total: f64 = left.iter().map(|(_, l)| weight(*l)).sum();
    let mut before = 0.0;
    if p.top_p < 1.0 {
        left.retain(|(_, l)| {
            let keep = before < f64::from(p.top_p) * total;
            before += weight(*l);
            keep
        });
    }
    let total: f64 = left.iter().map(|(_, l)| weight(*l)).sum();
    let mut probabilities = vec![0.0; logits.len()];
    for (id, l) in left {
        probabilities[id as usize] = weight(l) / total;
    }
    probabilities
}

fn random_logits(random: &mut Random, width: usize, spread: f64) -> Vec<f32> {
    (0..width)
        .map(|_| match random.next() % 12 {
            0 => f32::NEG_INFINITY,
            _ => (random.unit() * spread) as f32,
        })
        .collect()
}

fn params(temperature: f32, top_k: Option<u32>, top_p: f32, min_p: f32) -> SamplingParams {
    SamplingParams {
        temperature,
        top_k,
        top_p,
        min_p,
        ..Default::default()
    }
}

#[test]
fn draws_follow_the_exact_distribution() {
    let mut random = Random::new(Some(21));
    let settings = [
        params(1.0, None, 1.0, 0.0),
        params(0.7, None, 1.0, 0.05),
        params(1.3, Some(9), 1.0, 0.0),
        params(1.0, None, 0.8, 0.0),
        params(1.0, None, 0.9, 0.1),
        params(1.5, Some(20), 0.7, 0.02),
    ];
    for (case, p) in settings.iter().enumerate() {
        let logits = random_logits(&mut random, 600, 6.0);
        let expected = exact(&logits, p);
        let draws = 60_000;
        let mut counts = vec![0u32; logits.len()];
        for _ in 0..draws {
            counts[sample(&logits, p, &mut random).expect("a token") as usize] += 1;
        }
        let (mut chi, mut bins, mut rest, mut rest_expected) = (0.0, 0, 0.0, 0.0);
        for (&count, &probability) in counts.iter().zip(&expected) {
            let wanted = probability * f64::from(draws);
            assert!(
                probability > 0.0 || count == 0,
                "case {case}: a filtered token"
            );
            if wanted >= 5.0 {
                chi += (f64::from(count) - wanted).powi(2) / wanted;
                bins += 1;
            } else {
                rest += f64::from(count);
                rest_expected += wanted;
            }
        }
        if rest_expected > 0.0 {
            chi += (rest - rest_expected).powi(2) / rest_expected;
            bins += 1;
        }
        // Mean of chi-square is its degrees of freedom, deviation √(2 · freedom).
        let freedom = f64::from(bins - 1);
        assert!(
            chi < freedom + 4.5 * (2.0 * freedom).sqrt() + 3.0,
            "case {case}: {chi} of {freedom}"
        );
    }
}

#[test]
fn filters_keep_the_same_tokens_as_a_sort() {
    let mut random = Random::new(Some(22));
    for round in 0..300 {
        let width = 2 + (random.next() % 900) as usize;
        let mut logits = random_logits(&mut random, width, [1.0, 8.0, 60.0][round % 3]);
        if round % 4 == 0 {
            // Many equals, as 16-bit logits have them.
            logits.iter_mut().for_each(|l| *l = l.floor());
        }
        if maximum(&logits).is_none() {
            continue;
        }
        let p = params(
            0.3 + random.unit() as f32 * 2.0,
            random
                .next()
                .is_multiple_of(2)
                .then(|| 1 + (random.next() % 50) as u32),
            0.01 + random.unit() as f32 * 0.99,
            if random.next().is_multiple_of(3) {
                0.02
            } else {
                0.0
            },
        );
        let expected = exact(&logits, &p);
        for _ in 0..60 {
            let id = sample(&logits, &p, &mut random).expect("a token") as usize;
            assert!(expected[id] > 0.0, "round {round}: {p:?}");
        }
        let support = expected.iter().filter(|&&p| p > 0.0).count();
        if support <= 3 {
            let mut found: Vec<u32> = (0..400)
                .filter_map(|_| sample(&logits, &p, &mut random))
                .collect();
            found.sort_unstable();
            found.dedup();
            let likely = expected.iter().filter(|&&p| p > 0.03).count();
            assert!(found.len() >= likely && found.len() <= support);
        }
    }
}

#[test]
fn greedy_takes_the_best_and_the_lowest_of_equals() {
    let p = params(0.0, None, 1.0, 0.0);
    let mut random = Random::new(Some(1));
    assert_eq!(sample(&[1.0, 3.0, 3.0, -5.0], &p, &mut random), Some(1));
    assert_eq!(sample(&[f32::NEG_INFINITY, -9.0], &p, &mut random), Some(1));
    assert_eq!(sample(&[f32::NEG_INFINITY; 2], &p, &mut random), None);
    let one = params(1.0, Some(1), 1.0, 0.0);
    assert!((0..50).all(|_| sample(&[1.0, 3.0, 3.0], &one, &mut random) == Some(1)));
    let tiny = params(1.0, None, 1e-9, 0.0);
    assert!((0..50).all(|_| sample(&[1.0, 3.0, 3.0], &tiny, &mut random) == Some(1)));
}

#[test]
fn extreme_values_neither_panic_nor_pick_the_banned() {
    let mut random = Random::new(Some(2));
    let rows: [&[f32]; 4] = [
        &[f32::MAX, f32::MIN, f32::NEG_INFINITY],
        &[f32::MIN, f32::NEG_INFINITY, f32::NEG_INFINITY],
        &[-1e30, -1e30, f32::NEG_INFINITY],
        &[0.0],
    ];
    for row in rows {
        for p in [
            params(1.0, None, 1.0, 0.0),
            params(1e-5, None, 0.5, 0.5),
            params(1e9, Some(2), 0.999, 1.0),
            params(2.0, None, 0.9999999, 0.0),
        ] {
            for _ in 0..20 {
                let id = sample(row, &p, &mut random).expect("a token");
                assert!(row[id as usize] > f32::NEG_INFINITY);
            }
        }
    }
}

#[test]
fn maximum_refuses_what_is_not_finite_wherever_it_stands() {
    for width in [1, 15, 16, 17, 100] {
        for bad in [f32::NAN, f32::INFINITY] {
            for at in 0..width {
                let mut row = vec![1.0; width];
                row[at] = bad;
                assert_eq!(maximum(&row), None, "{bad} at {at} of {width}");
            }
        }
        assert_eq!(maximum(&vec![f32::NEG_INFINITY; width]), None);
        let mut row = vec![f32::NEG_INFINITY; width];
        row[width - 1] = -7.0;
        assert_eq!(maximum(&row), Some(-7.0));
    }
    assert_eq!(maximum(&[]), None);
}

#[test]
fn the_exponential_is_exact_to_a_few_units() {
    for i in 0..880_000 {
        let x = -(i as f32) * 1e-4;
        let exact = f64::from(x).exp();
        let error = (f64::from(exponential(x)) - exact).abs() / exact;
        assert!(error < 3e-7 || x < -87.0, "{x}: {error}");
    }
    assert_eq!(exponential(f32::NEG_INFINITY), 0.0);
    assert_eq!(exponential(0.0), 1.0);
}
