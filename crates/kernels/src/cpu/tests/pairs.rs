//! Properties of `cpu::linear_bf16`.

use half::bf16;

use super::super::{Weights, linear_at, linear_bf16};
use super::{Level, Values, assert_close, bits, on_threads};

fn run(x: &[f32], k: usize, w: &[bf16], n: usize, bias: Option<&[f32]>) -> Vec<f32> {
    let m = x.len() / k;
    let mut y = vec![f32::NAN; m * n];
    linear_bf16(x, m, k, w, n, bias, &mut y);
    y
}

fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&v| bf16::from_f32(v)).collect()
}

/// The scalar twin of a CPU with products of pairs: sixteen lanes walk k in order, the odd element of a pair first, and are
/// folded by halves.
fn twin(x: &[bf16], w: &[bf16]) -> f32 {
    let mut lanes = [0f32; 16];
    for (x, w) in x.chunks(32).zip(w.chunks(32)) {
        for (lane, (x, w)) in x.chunks(2).zip(w.chunks(2)).enumerate() {
            for i in (0..x.len()).rev() {
                lanes[lane] = w[i].to_f32().mul_add(x[i].to_f32(), lanes[lane]);
            }
        }
    }
    let mut half = 8;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[test]
fn equals_its_scalar_twin() {
    let mut values = Values(21);
    for (m, k, n) in [
        (1, 1, 3),
        (1, 16, 9),
        (2, 31, 9),
        (5, 33, 7),
        (6, 64, 40),
        (16, 1030, 37),
        (97, 530, 34),
        (485, 40, 12),
    ] {
        let x = values.floats(m * k);
        let w = rounded(&values.floats(n * k));
        let bias = values.floats(n);
        let have = run(&x, k, &w, n, Some(&bias));
        let mut want = vec![0f32; m * n];
        if Level::current().has_pairs() {
            let rows = rounded(&x);
            for (i, want) in want.iter_mut().enumerate() {
                let (row, out) = (i / n, i % n);
                *want = twin(&rows[row * k..][..k], &w[out * k..][..k]) + bias[out];
            }
        } else {
            let level = Level::current();
            linear_at(
                level,
                &x,
                m,
                k,
                Weights::Bf16(&w),
                n,
                Some(&bias),
                &mut want,
            );
        }
        assert_eq!(bits(&have), bits(&want), "m={m} k={k} n={n}");
    }
}

#[test]
fn agrees_with_f64_within_the_rounding() {
    let mut values = Values(22);
    let (m, k, n) = (7, 513, 65);
    let x = values.floats(m * k);
    let w = rounded(&values.floats(n * k));
    let want: Vec<f64> = (0..m * n)
        .map(|i| {
            let pairs = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]);
            pairs.map(|(&x, w)| f64::from(x) * w.to_f64()).sum()
        })
        .collect();
    // Each product is off by a third of 2^-9 or so, of either sign: a random walk of 513 steps, and four times its length.
    assert_close(&run(&x, k, &w, n, None), &want, 3e-2, "rounded");
}

#[test]
fn a_row_does_not_know_its_neighbours() {
    let mut values = Values(23);
    for (k, n) in [(40, 21), (519, 33), (2100, 67)] {
        let w = rounded(&values.floats(n * k));
        let x = values.floats(130 * k);
        let alone: Vec<f32> = x.chunks(k).flat_map(|x| run(x, k, &w, n, None)).collect();
        for m in [2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 32, 97, 130] {
            for threads in [1, 3] {
                let have = on_threads(threads, || run(&x[..m * k], k, &w, n, None));
                assert_eq!(bits(&have), bits(&alone[..m * n]), "m={m} k={k} n={n}");
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let w = rounded(&[1.0; 2 * 40]);
    for bad in [f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY] {
        let mut x = vec![1.0; 80];
        x[41] = bad;
        let y = run(&x, 40, &w, 2, None);
        assert_eq!(y[..2], [40.0, 40.0]);
        assert!(y[2..].iter().all(|v| !v.is_finite()), "{bad}");
    }
}
