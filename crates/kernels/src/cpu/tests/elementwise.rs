//! Properties of norm, SwiGLU and rotation.

use super::super::{clamped_swiglu_at, rms_norm_at, rope_at, silu_mul_at};
use super::{Level, Values, assert_close, bits, levels, on_threads};

const WIDTHS: [usize; 7] = [1, 15, 16, 24, 64, 100, 2880];

fn rms_norm(level: Level, x: &[f32], weight: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    rms_norm_at(level, x, weight, 1e-5, &mut out);
    out
}

#[test]
fn rms_norm_agrees_and_knows_no_neighbours() {
    let mut values = Values(11);
    for width in WIDTHS {
        let (x, weight) = (values.floats(20 * width), values.floats(width));
        let row = |x: &[f32]| {
            let mean = x.iter().map(|&x| (x as f64).powi(2)).sum::<f64>() / width as f64;
            let scale = 1.0 / (mean + 1e-5).sqrt();
            let out = x
                .iter()
                .zip(&weight)
                .map(|(&x, &w)| x as f64 * scale * w as f64);
            out.collect::<Vec<_>>()
        };
        let want: Vec<f64> = x.chunks(width).flat_map(row).collect();
        for level in levels() {
            let got = rms_norm(level, &x, &weight);
            assert_close(&got, &want, 1e-5, &format!("{level:?} {width}"));
            let alone: Vec<f32> = x
                .chunks(width)
                .flat_map(|x| rms_norm(level, x, &weight))
                .collect();
            assert_eq!(bits(&got), bits(&alone));
        }
    }
}

#[test]
fn silu_mul_agrees_and_passes_nan_on() {
    let mut values = Values(12);
    let mut gate: Vec<f32> = values.floats(5000).iter().map(|v| v * 100.0).collect();
    gate[..8].copy_from_slice(&[
        0.0,
        -0.0,
        88.0,
        -88.0,
        1e30,
        -1e30,
        f32::MIN_POSITIVE,
        -200.0,
    ]);
    let up = values.floats(5000);
    let silu = |(&g, &u): (&f32, &f32)| g as f64 / (1.0 + (-g as f64).exp()) * u as f64;
    let want: Vec<f64> = gate.iter().zip(&up).map(silu).collect();
    for level in levels() {
        let mut out = vec![0.0; 5000];
        silu_mul_at(level, &gate, &up, &mut out);
        assert_close(&out, &want, 1e-6, &format!("{level:?}"));
        for from in [1, 7, 4990] {
            let mut part = vec![0.0; 5000 - from];
            silu_mul_at(level, &gate[from..], &up[from..], &mut part);
            assert_eq!(bits(&part), bits(&out[from..]), "{level:?} from {from}");
        }
        let mut out = [0.0; 3];
        silu_mul_at(level, &[1.0, f32::NAN, 1.0], &[1.0; 3], &mut out);
        assert!(
            out[1].is_nan() && out[0].is_finite() && out[2] == out[0],
            "{level:?}"
        );
    }
}

#[test]
fn clamped_swiglu_agrees_and_passes_nan_on() {
    let mut values = Values(15);
    let mut x: Vec<f32> = values.floats(10_000).iter().map(|v| v * 20.0).collect();
    x[..8].copy_from_slice(&[7.0, -7.0, 7.5, 7.5, -80.0, -8.0, 1e30, -1e30]);
    let formula = |pair: &[f32]| {
        let gate = f64::from(pair[0]).min(7.0);
        let up = f64::from(pair[1]).clamp(-7.0, 7.0);
        (up + 1.0) * gate / (1.0 + (-1.702 * gate).exp())
    };
    let want: Vec<f64> = x.chunks_exact(2).map(formula).collect();
    for level in levels() {
        let run = |x: &[f32]| {
            let mut out = vec![0.0; x.len() / 2];
            clamped_swiglu_at(level, x, 1.702, 7.0, &mut out);
            out
        };
        let out = run(&x);
        assert_close(&out, &want, 1e-6, &format!("{level:?}"));
        for from in [1, 7, 4990] {
            let part = run(&x[2 * from..]);
            assert_eq!(bits(&part), bits(&out[from..]), "{level:?} from {from}");
        }
        let broken = run(&[1.0, 1.0, f32::NAN, 1.0, 1.0, f32::NAN, 1.0, 1.0]);
        assert!(broken[1].is_nan() && broken[2].is_nan(), "{level:?}");
        assert!(broken[0].is_finite() && broken[3] == broken[0], "{level:?}");
    }
}

#[test]
fn rope_agrees_on_any_head() {
    let mut values = Values(14);
    for (heads, head_dim) in [(1, 2), (3, 24), (2, 40), (5, 80), (8, 64), (4, 128)] {
        let (tokens, half) = (70, head_dim / 2);
        let x = values.floats(tokens * heads * head_dim);
        let angles = values.floats(tokens * half);
        let cos: Vec<f32> = angles.iter().map(|a| a.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|a| a.sin()).collect();
        let mut want = vec![0f64; x.len()];
        for head in 0..tokens * heads {
            for i in 0..half {
                let angle = head / heads * half + i;
                let (c, s) = (cos[angle] as f64, sin[angle] as f64);
                let (first, second) = (head * head_dim + i, head * head_dim + half + i);
                let (a, b) = (x[first] as f64, x[second] as f64);
                want[first] = a * c - b * s;
                want[second] = b * c + a * s;
            }
        }
        for level in levels() {
            let rotate = |tokens: usize| {
                let mut x = x[..tokens * heads * head_dim].to_vec();
                let (cos, sin) = (&cos[..tokens * half], &sin[..tokens * half]);
                rope_at(level, &mut x, tokens, heads, head_dim, cos, sin);
                x
            };
            let got = on_threads(2, || rotate(tokens));
            assert_close(
                &got,
                &want,
                1e-6,
                &format!("{level:?} {heads} x {head_dim}"),
            );
            let one = rotate(1);
            assert_eq!(bits(&one), bits(&got[..one.len()]));
        }
    }
}
