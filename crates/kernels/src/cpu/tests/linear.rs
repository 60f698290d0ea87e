//! Properties of `cpu::linear` and `cpu::embed`.

use half::{bf16, f16};

use super::super::{Weights, embed, linear_at};
use super::{Level, Values, assert_close, bits, levels, on_threads};

/// One matrix in all formats.
struct Matrix {
    f32: Vec<f32>,
    f16: Vec<f16>,
    bf16: Vec<bf16>,
}

impl Matrix {
    fn new(values: &mut Values, len: usize) -> Self {
        let f32 = values.floats(len);
        let f16 = f32.iter().map(|&v| f16::from_f32(v)).collect();
        let bf16 = f32.iter().map(|&v| bf16::from_f32(v)).collect();
        Self { f32, f16, bf16 }
    }

    /// Each format with its exact values.
    fn formats(&self) -> [(Weights<'_>, Vec<f64>); 3] {
        [
            (
                Weights::F32(&self.f32),
                self.f32.iter().map(|&v| v as f64).collect(),
            ),
            (
                Weights::F16(&self.f16),
                self.f16.iter().map(|v| v.to_f64()).collect(),
            ),
            (
                Weights::Bf16(&self.bf16),
                self.bf16.iter().map(|v| v.to_f64()).collect(),
            ),
        ]
    }
}

fn reference(x: &[f32], k: usize, w: &[f64], bias: Option<&[f32]>) -> Vec<f64> {
    let row = |x: &[f32]| {
        let outputs = w.chunks(k).enumerate().map(|(j, w)| {
            let dot: f64 = x.iter().zip(w).map(|(&x, w)| x as f64 * w).sum();
            dot + bias.map_or(0.0, |bias| bias[j] as f64)
        });
        outputs.collect::<Vec<_>>()
    };
    x.chunks(k).flat_map(row).collect()
}

fn run(
    level: Level,
    x: &[f32],
    k: usize,
    w: Weights<'_>,
    n: usize,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let m = x.len() / k;
    let mut y = vec![f32::NAN; m * n];
    linear_at(level, x, m, k, w, n, bias, &mut y);
    y
}

#[test]
fn agrees_with_f64() {
    let mut values = Values(1);
    let shapes = [
        (1, 1, 1),
        (1, 16, 5),
        (2, 31, 9),
        (3, 33, 7),
        (5, 100, 33),
        (6, 64, 40),
        (7, 37, 31),
        (8, 513, 65),
        (16, 1030, 37),
        (97, 530, 34),
        (100, 24, 129),
        (485, 40, 12),
    ];
    for (m, k, n) in shapes {
        let x = values.floats(m * k);
        let bias = values.floats(n);
        let matrix = Matrix::new(&mut values, n * k);
        for (w, exact) in matrix.formats() {
            for bias in [None, Some(&bias[..])] {
                let want = reference(&x, k, &exact, bias);
                for level in levels() {
                    let got = run(level, &x, k, w, n, bias);
                    assert_close(&got, &want, 2e-5, &format!("{level:?} m={m} k={k} n={n}"));
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_know_its_neighbours() {
    let mut values = Values(2);
    for (k, n) in [(40, 21), (519, 33), (2100, 67)] {
        let matrix = Matrix::new(&mut values, n * k);
        let bias = values.floats(n);
        let x = values.floats(130 * k);
        for (w, _) in matrix.formats() {
            for level in levels() {
                let alone: Vec<f32> = x
                    .chunks(k)
                    .flat_map(|x| run(level, x, k, w, n, Some(&bias)))
                    .collect();
                for m in [2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 32, 97, 130] {
                    let got = run(level, &x[..m * k], k, w, n, Some(&bias));
                    assert_eq!(
                        bits(&got),
                        bits(&alone[..m * n]),
                        "{level:?} m={m} k={k} n={n}"
                    );
                }
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut values = Values(3);
    let (k, n) = (600, 301);
    let matrix = Matrix::new(&mut values, n * k);
    for m in [1, 4, 16, 120] {
        let x = values.floats(m * k);
        for level in levels() {
            let w = Weights::Bf16(&matrix.bf16);
            let [one, two, three] =
                [1, 2, 3].map(|threads| on_threads(threads, || run(level, &x, k, w, n, None)));
            assert_eq!(bits(&one), bits(&two));
            assert_eq!(bits(&one), bits(&three));
        }
    }
}

#[test]
fn a_bad_row_stays_alone() {
    let mut values = Values(4);
    let (m, k, n) = (9, 70, 19);
    let matrix = Matrix::new(&mut values, n * k);
    let mut x = values.floats(m * k);
    x[4 * k + 69] = f32::NAN;
    for level in levels() {
        let y = run(level, &x, k, Weights::Bf16(&matrix.bf16), n, None);
        for (i, row) in y.chunks(n).enumerate() {
            assert!(
                row.iter().all(|v| v.is_nan() == (i == 4)),
                "{level:?} row {i}"
            );
        }
    }
}

#[test]
fn every_format_is_widened_exactly() {
    let f16s: Vec<f16> = (0..=u16::MAX)
        .map(f16::from_bits)
        .filter(|v| v.is_finite())
        .collect();
    let bf16s: Vec<bf16> = (0..=u16::MAX)
        .map(bf16::from_bits)
        .filter(|v| v.is_finite())
        .collect();
    for level in levels() {
        let y = run(level, &[1.0], 1, Weights::F16(&f16s), f16s.len(), None);
        assert!(
            y.iter().zip(&f16s).all(|(y, w)| *y == w.to_f32()),
            "{level:?} f16"
        );
        let y = run(level, &[1.0], 1, Weights::Bf16(&bf16s), bf16s.len(), None);
        assert!(
            y.iter().zip(&bf16s).all(|(y, w)| *y == w.to_f32()),
            "{level:?} bf16"
        );
    }
}

#[test]
fn no_rows_are_no_work() {
    linear_at(
        Level::best(),
        &[],
        0,
        4,
        Weights::F32(&[0.0; 8]),
        2,
        None,
        &mut [],
    );
}

#[test]
fn embedding_gathers_rows() {
    let mut values = Values(5);
    let matrix = Matrix::new(&mut values, 7 * 5);
    for (table, exact) in matrix.formats() {
        let mut out = vec![0.0; 15];
        embed(table, 5, &[6, 0, 6], &mut out);
        for (out, id) in out.chunks(5).zip([6, 0, 6]) {
            assert!(
                out.iter()
                    .zip(&exact[id * 5..])
                    .all(|(a, b)| *a as f64 == *b)
            );
        }
    }
}

#[test]
#[should_panic(expected = "embed: id 7 is outside the table of 7 rows")]
fn embedding_refuses_unknown_ids() {
    embed(Weights::F32(&[0.0; 35]), 5, &[7], &mut [0.0; 5]);
}

#[test]
#[should_panic(expected = "linear: weights must be [n, k] = [3, 2]")]
fn wrong_shapes_say_which() {
    linear_at(
        Level::Scalar,
        &[0.0; 2],
        1,
        2,
        Weights::F32(&[0.0; 5]),
        3,
        None,
        &mut [0.0; 3],
    );
}

/// Packed blocks give the bits of the same matrix stored as f32, for every number of rows.
#[test]
fn packed_blocks_equal_their_widened_matrix() {
    let (n, k) = (37, 96);
    let mut state = 9u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let blocks: Vec<u8> = (0..n * k / 2).map(|_| byte()).collect();
    let scales: Vec<u8> = (0..n * k / 32).map(|_| 120 + byte() % 10).collect();
    let mut wide = vec![0f32; n * k];
    crate::format::mxfp4::decode(&blocks, &scales, &mut wide);
    let bias: Vec<f32> = (0..n).map(|i| i as f32 / 7.0).collect();
    for level in levels() {
        for m in [1, 2, 7, 40] {
            let x: Vec<f32> = (0..m * k)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0)
                .collect();
            let packed = Weights::Mxfp4 {
                blocks: &blocks,
                scales: &scales,
            };
            let have = run(level, &x, k, packed, n, Some(&bias));
            let want = run(level, &x, k, Weights::F32(&wide), n, Some(&bias));
            assert_eq!(have, want, "{level:?} m = {m}");
        }
    }
}
