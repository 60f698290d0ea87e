//! Properties of `cpu::linear_int8`: every instruction set gives the same bits, which are those of the formula.

use super::super::int8::{Group, Input, Means, Product, grouped_by, linear_by, linears_by};
use super::super::{
    BlockFormat, RowFormat, Tiled, Weights, clamped_swiglu_at, linear_at, rms_norm_at, silu_mul_at,
};
use super::{Level, Values, bits, on_threads};

/// All that this machine can run.
fn means() -> Vec<Means> {
    let mut all = vec![Means::Scalar];
    for level in [Level::Avx2, Level::Avx512] {
        let means = Means::of(level);
        if level <= Level::best() && !all.contains(&means) {
            all.push(means);
        }
    }
    all
}

/// A matrix in blocks, with what it means.
struct Matrix {
    format: Option<BlockFormat>,
    blocks: Vec<u8>,
    scales: Vec<u8>,
    wide: Vec<f32>,
}

impl Matrix {
    /// MXFP4 without a format.
    fn new(values: &mut Values, format: Option<BlockFormat>, n: usize, k: usize) -> Self {
        let bytes = |values: &mut Values, count: usize| -> Vec<u8> {
            let floats = values.floats(count);
            floats.iter().map(|v| (v * 1e6) as i64 as u8).collect()
        };
        let mut wide = vec![0f32; n * k];
        let Some(format) = format else {
            let blocks = bytes(values, n * k / 2);
            let scales: Vec<u8> = bytes(values, n * k / 32)
                .iter()
                .map(|b| 118 + b % 8)
                .collect();
            crate::format::mxfp4::decode(&blocks, &scales, &mut wide);
            return Self {
                format: None,
                blocks,
                scales,
                wide,
            };
        };
        let blocks = match format.encode(&values.floats(n * k)) {
            Some(blocks) => blocks,
            None => {
                let mut blocks = bytes(values, format.row_bytes(n * k));
                for block in blocks.chunks_exact_mut(format.bytes()) {
                    block[..2].copy_from_slice(&half::f16::from_f32(0.02).to_le_bytes());
                }
                blocks
            }
        };
        format.decode(&blocks, &mut wide);
        Self {
            format: Some(format),
            blocks,
            scales: Vec::new(),
            wide,
        }
    }

    fn weights(&self) -> Weights<'_> {
        match self.format {
            Some(format) => Weights::Blocks {
                format,
                bytes: &self.blocks,
            },
            None => Weights::Mxfp4 {
                blocks: &self.blocks,
                scales: &self.scales,
            },
        }
    }
}

const FORMATS: [Option<BlockFormat>; 6] = [
    None,
    Some(BlockFormat::Q8_0),
    Some(BlockFormat::Q4_0),
    Some(BlockFormat::Q5_0),
    Some(BlockFormat::Q4_K),
    Some(BlockFormat::Q6_K),
];

/// x as eight bits mean it.
fn rounded(x: &[f32]) -> Vec<f64> {
    let block = |x: &[f32]| -> Vec<f64> {
        let most = x.iter().fold(0f32, |most, v| most.max(v.abs()));
        let scale = most / 127.0;
        let code = |v: &f32| f64::from((v * (1.0 / scale)).round_ties_even());
        x.iter().map(|v| code(v) * f64::from(scale)).collect()
    };
    x.chunks(32).flat_map(block).collect()
}

#[test]
fn equals_the_formula_at_every_level() {
    let mut values = Values(11);
    for format in FORMATS {
        for (m, n, blocks) in [(1, 16, 1), (3, 17, 2), (8, 40, 1), (13, 5, 3), (70, 33, 1)] {
            let k = blocks * format.map_or(32, BlockFormat::elements).max(96);
            let k = k.next_multiple_of(format.map_or(32, BlockFormat::elements));
            let matrix = Matrix::new(&mut values, format, n, k);
            let tiled = Tiled::of(matrix.weights(), n, k).unwrap();
            let x = values.floats(m * k);
            let bias = values.floats(n);
            let mut first: Option<Vec<u32>> = None;
            for means in means() {
                let mut y = vec![0f32; m * n];
                linear_by(means, &x, m, &tiled, Some(&bias), &mut y);
                match &first {
                    Some(first) => assert_eq!(&bits(&y), first, "{format:?} by {means:?}"),
                    None => {
                        let exact = rounded(&x);
                        for (i, y) in y.iter().enumerate() {
                            let (row, out) = (i / n, i % n);
                            let products =
                                exact[row * k..][..k].iter().zip(&matrix.wide[out * k..]);
                            let (mut sum, mut size) = (f64::from(bias[out]), 0.0);
                            for (x, w) in products {
                                sum += x * f64::from(*w);
                                size += (x * f64::from(*w)).abs();
                            }
                            let off = (f64::from(*y) - sum).abs();
                            assert!(off <= 4e-6 * size + 1e-6, "{format:?}: {y} for {sum}");
                        }
                        first = Some(bits(&y));
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_is_the_same_in_any_company_and_on_any_threads() {
    let mut values = Values(12);
    let (n, k, m) = (272, 512, 75);
    for format in FORMATS {
        let matrix = Matrix::new(&mut values, format, n, k);
        let tiled = Tiled::of(matrix.weights(), n, k).unwrap();
        let x = values.floats(m * k);
        for means in means() {
            let run = |x: &[f32]| {
                let mut y = vec![0f32; x.len() / k * n];
                linear_by(means, x, x.len() / k, &tiled, None, &mut y);
                bits(&y)
            };
            let together = on_threads(3, || run(&x));
            for row in [0, 7, 8, 63, 64, 74] {
                let alone = on_threads(1, || run(&x[row * k..][..k]));
                assert_eq!(
                    alone,
                    together[row * n..][..n],
                    "{format:?} {means:?} row {row}"
                );
            }
        }
    }
}

#[test]
fn groups_are_products_of_their_own_with_rows_in_any_order() {
    let mut values = Values(16);
    let (n, k, m) = (40, 512, 30);
    for format in FORMATS {
        let matrices: Vec<Tiled> = (0..4)
            .map(|_| Tiled::of(Matrix::new(&mut values, format, n, k).weights(), n, k).unwrap())
            .collect();
        let (x, bias) = (values.floats(m * k), values.floats(n));
        // None of a group's, more than a task's, a row in several groups.
        let rows = [3, 0, 70, 1];
        let order: Vec<u32> = (0..74).map(|at| at * 7 % m as u32).collect();
        let groups: Vec<Group<'_>> = matrices
            .iter()
            .zip(rows)
            .map(|(weight, rows)| Group {
                weight,
                bias: (rows != 3).then_some(&bias[..]),
                rows,
            })
            .collect();
        for means in means() {
            let mut y = vec![0f32; order.len() * n];
            on_threads(3, || {
                grouped_by(means, Input::Rows(&x), Some(&order), &groups, &mut y)
            });
            let mut alone = Vec::new();
            let mut at = 0;
            for Group { weight, bias, rows } in &groups {
                for &row in &order[at..at + rows] {
                    let mut y = vec![0f32; n];
                    linear_by(means, &x[row as usize * k..][..k], 1, weight, *bias, &mut y);
                    alone.extend(y);
                }
                at += rows;
            }
            assert_eq!(bits(&y), bits(&alone), "{format:?} {means:?}");
        }
    }
}

#[test]
fn rounding_costs_less_than_a_hundredth() {
    let mut values = Values(13);
    let (n, k, m) = (64, 512, 4);
    for format in FORMATS {
        let matrix = Matrix::new(&mut values, format, n, k);
        let tiled = Tiled::of(matrix.weights(), n, k).unwrap();
        let x = values.floats(m * k);
        let (mut exact, mut y) = (vec![0f32; m * n], vec![0f32; m * n]);
        linear_at(
            Level::current(),
            &x,
            m,
            k,
            matrix.weights(),
            n,
            None,
            &mut exact,
        );
        linear_by(Means::current(), &x, m, &tiled, None, &mut y);
        let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
        let off = square(&mut y.iter().zip(&exact).map(|(a, b)| a - b));
        let all = square(&mut exact.iter().copied());
        assert!(off < 0.01 * all, "{format:?}: {off} of {all}");
    }
}

#[test]
fn what_is_no_number_stays_none_and_zeros_are_zero() {
    let mut values = Values(14);
    let matrix = Matrix::new(&mut values, None, 16, 64);
    let tiled = Tiled::of(matrix.weights(), 16, 64).unwrap();
    let mut x = vec![0f32; 128];
    x[70] = f32::NAN;
    for means in means() {
        let mut y = vec![1f32; 32];
        linear_by(means, &x, 2, &tiled, None, &mut y);
        assert!(y[..16].iter().all(|&v| v == 0.0), "{means:?}");
        assert!(y[16..].iter().all(|v| v.is_nan()), "{means:?}");
    }
}

#[test]
fn other_formats_and_widths_have_no_tiles() {
    assert!(Tiled::of(Weights::F32(&[0.0; 64]), 2, 32).is_none());
    let bytes = vec![0u8; BlockFormat::Q5_1.row_bytes(64)];
    let format = BlockFormat::Q5_1;
    assert!(
        Tiled::of(
            Weights::Blocks {
                format,
                bytes: &bytes
            },
            2,
            32
        )
        .is_none()
    );
}

/// The blocks of rows of MXFP4 as GGML has them.
fn ggml_rows(matrix: &Matrix) -> Vec<u8> {
    let blocks = matrix.blocks.chunks_exact(16).zip(&matrix.scales);
    blocks
        .flat_map(|(block, &scale)| {
            let code = |at: usize| block[at / 2] >> (at % 2 * 4) & 15;
            std::iter::once(scale).chain((0..16).map(move |j| code(j) | code(j + 16) << 4))
        })
        .collect()
}

#[test]
fn rows_that_lie_apart_make_the_same_tiles() {
    let mut values = Values(17);
    for format in FORMATS {
        for (n, k) in [(5, 256), (40, 512), (1030, 2560)] {
            let matrix = Matrix::new(&mut values, format, n, k);
            let rows = format.map_or_else(|| ggml_rows(&matrix), |_| matrix.blocks.clone());
            let size = rows.len() / n;
            // Even rows in one place, odd ones in another.
            let place = |odd: usize| -> Vec<u8> {
                let rows = rows.chunks_exact(size).skip(odd).step_by(2);
                rows.flatten().copied().collect()
            };
            let places = [place(0), place(1)];
            let kind = format.map_or(RowFormat::Mxfp4, RowFormat::Blocks);
            let apart =
                Tiled::of_rows(kind, n, k, |row| &places[row % 2][row / 2 * size..][..size]);
            let whole = Tiled::of(matrix.weights(), n, k).unwrap();
            let same = apart.unwrap().as_bytes() == whole.as_bytes();
            assert!(same, "{format:?} [{n}, {k}]");
        }
    }
}

#[test]
fn rows_of_the_operation_before_are_those_of_the_operation() {
    let mut values = Values(18);
    let (m, k) = (5, 96);
    let (a, b, weight) = (values.floats(m * k), values.floats(m * k), values.floats(k));
    let pairs = values.floats(2 * m * k);
    let q8 = Some(BlockFormat::Q8_0);
    let (one, other) = (
        Matrix::new(&mut values, q8, 40, k),
        Matrix::new(&mut values, q8, 7, k),
    );
    let tiled = [(&one, 40), (&other, 7)].map(|(w, n)| Tiled::of(w.weights(), n, k).unwrap());
    let bias = values.floats(40);
    for level in [Level::Scalar, Level::Avx2, Level::Avx512] {
        if level > Level::best() {
            continue;
        }
        let means = Means::of(level);
        let mut made = vec![vec![0f32; m * k]; 3];
        rms_norm_at(level, &a, &weight, 1e-5, &mut made[0]);
        silu_mul_at(level, &a, &b, &mut made[1]);
        clamped_swiglu_at(level, &pairs, 1.7, 7.0, &mut made[2]);
        let inputs = [
            Input::Normed {
                x: &a,
                weight: &weight,
                eps: 1e-5,
            },
            Input::Gated { gate: &a, up: &b },
            Input::Clamped {
                pairs: &pairs,
                alpha: 1.7,
                limit: 7.0,
            },
        ];
        for (input, made) in inputs.into_iter().zip(&made) {
            let mut together = [vec![0f32; m * 40], vec![0f32; m * 7]];
            let [first, second] = &mut together;
            let mut products = [
                Product {
                    weight: &tiled[0],
                    bias: Some(&bias),
                    y: first,
                },
                Product {
                    weight: &tiled[1],
                    bias: None,
                    y: second,
                },
            ];
            linears_by(means, input, &mut products);
            let mut alone = [vec![0f32; m * 40], vec![0f32; m * 7]];
            linear_by(means, made, m, &tiled[0], Some(&bias), &mut alone[0]);
            linear_by(means, made, m, &tiled[1], None, &mut alone[1]);
            assert_eq!(bits(&together[0]), bits(&alone[0]), "{means:?}");
            assert_eq!(bits(&together[1]), bits(&alone[1]), "{means:?}");
        }
    }
}
