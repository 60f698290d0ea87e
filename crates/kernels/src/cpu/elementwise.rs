//! Kernels that work row by row or element by element: norm, SwiGLU, rotation.
//!
//! Elements after the last whole vector go through a vector too, padded, so that an element's result
//! does not depend on where in the batch it stands.

use rayon::prelude::*;

use super::level::Level;
use super::scalar;
use super::simd::{Kernel, Simd, exp};

/// Elements handed to one task; below this everything stays on the calling thread.
const TASK: usize = 16 * 1024;

/// Elements of a task of whole rows.
fn task(width: usize) -> usize {
    (TASK / width).max(1) * width
}

#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, len: usize) -> S {
    // SAFETY: the caller lets us read `len` elements.
    unsafe {
        if len >= S::LANES {
            S::load(p)
        } else {
            S::load_part(p, len)
        }
    }
}

#[inline(always)]
unsafe fn store<S: Simd>(v: S, p: *mut f32, len: usize) {
    // SAFETY: the caller lets us write `len` elements.
    unsafe {
        if len >= S::LANES {
            v.store(p)
        } else {
            v.store_part(p, len)
        }
    }
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let width = self.weight.len();
        for (x, out) in self
            .x
            .chunks_exact(width)
            .zip(self.out.chunks_exact_mut(width))
        {
            // SAFETY: all pointers stay within rows of `width`.
            unsafe {
                // Four sums hide the latency of the addition.
                let mut squares = [S::zero(); 4];
                for (i, at) in (0..width).step_by(S::LANES).enumerate() {
                    let x: S = load(x.as_ptr().add(at), width - at);
                    squares[i % 4] = x.fma(x, squares[i % 4]);
                }
                let [a, b, c, d] = squares;
                let mean = a.add(b).add(c.add(d)).sum() / width as f32;
                let scale = S::splat(1.0 / (mean + self.eps).sqrt());
                for at in (0..width).step_by(S::LANES) {
                    let x: S = load(x.as_ptr().add(at), width - at);
                    let weight: S = load(self.weight.as_ptr().add(at), width - at);
                    store(
                        x.mul(scale).mul(weight),
                        out.as_mut_ptr().add(at),
                        width - at,
                    );
                }
            }
        }
    }
}

struct SiluMul<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for SiluMul<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.out.len();
        for at in (0..len).step_by(S::LANES) {
            // SAFETY: all slices have `len` elements.
            unsafe {
                let gate: S = load(self.gate.as_ptr().add(at), len - at);
                let up: S = load(self.up.as_ptr().add(at), len - at);
                let below = S::splat(1.0).add(exp(S::zero().sub(gate)));
                store(
                    gate.div(below).mul(up),
                    self.out.as_mut_ptr().add(at),
                    len - at,
                );
            }
        }
    }
}

struct ClampedSwiGlu<'a> {
    /// `[out, 2]`
    x: &'a [f32],
    alpha: f32,
    limit: f32,
    out: &'a mut [f32],
}

impl Kernel for ClampedSwiGlu<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.out.len();
        for at in (0..len).step_by(S::LANES) {
            let (mut gate, mut up) = ([0f32; 16], [0f32; 16]);
            let pairs = self.x[2 * at..2 * len.min(at + S::LANES)].chunks_exact(2);
            for ((pair, gate), up) in pairs.zip(&mut gate).zip(&mut up) {
                (*gate, *up) = scalar::clamped(pair, self.limit);
            }
            // SAFETY: a vector has at most sixteen lanes; `out` has `len` elements.
            unsafe {
                let (gate, up) = (S::load(gate.as_ptr()), S::load(up.as_ptr()));
                let below = S::splat(1.0).add(exp(S::splat(-self.alpha).mul(gate)));
                store(
                    gate.div(below).mul(up),
                    self.out.as_mut_ptr().add(at),
                    len - at,
                );
            }
        }
    }
}

struct Rope<'a> {
    /// `[tokens, heads, head_dim]`
    x: &'a mut [f32],
    heads: usize,
    half: usize,
    cos: &'a [f32],
    sin: &'a [f32],
}

impl Kernel for Rope<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let half = self.half;
        for (row, head) in self.x.chunks_exact_mut(2 * half).enumerate() {
            let angles = row / self.heads * half;
            for at in (0..half).step_by(S::LANES) {
                let len = half - at;
                // SAFETY: a head has 2 * half elements, each token `half` angles.
                unsafe {
                    let cos: S = load(self.cos.as_ptr().add(angles + at), len);
                    let sin: S = load(self.sin.as_ptr().add(angles + at), len);
                    let first = head.as_mut_ptr().add(at);
                    let second = head.as_mut_ptr().add(half + at);
                    let (a, b): (S, S) = (load(first, len), load(second, len));
                    store(a.mul(cos).sub(b.mul(sin)), first, len);
                    store(a.fma(sin, b.mul(cos)), second, len);
                }
            }
        }
    }
}

/// Rows of RMSNorm, on this thread.
pub(super) fn norm_rows(level: Level, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(
        x.len() == out.len() && x.len().is_multiple_of(width),
        "rms_norm: rows must be of {width}"
    );
    match level {
        Level::Scalar => {
            for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                scalar::rms_norm_row(x, weight, eps, out);
            }
        }
        // SAFETY: whole rows.
        _ => unsafe {
            level.run(RmsNorm {
                x,
                weight,
                eps,
                out,
            })
        },
    }
}

/// SwiGLU, on this thread.
pub(super) fn gate_rows(level: Level, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(
        gate.len() == out.len() && up.len() == out.len(),
        "silu_mul: gate, up and out must have one shape"
    );
    match level {
        Level::Scalar => scalar::silu_mul(gate, up, out),
        // SAFETY: equal lengths.
        _ => unsafe { level.run(SiluMul { gate, up, out }) },
    }
}

/// SwiGLU of pairs, clamped, on this thread.
pub(super) fn clamp_rows(level: Level, x: &[f32], alpha: f32, limit: f32, out: &mut [f32]) {
    assert_eq!(
        x.len(),
        2 * out.len(),
        "clamped_swiglu: x must have two for each of out"
    );
    match level {
        Level::Scalar => scalar::clamped_swiglu(x, alpha, limit, out),
        // SAFETY: two for each of out.
        _ => unsafe {
            level.run(ClampedSwiGlu {
                x,
                alpha,
                limit,
                out,
            })
        },
    }
}

/// Rows of RMSNorm.
pub(super) fn rms_norm(level: Level, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let each = task(weight.len());
    x.par_chunks(each)
        .zip(out.par_chunks_mut(each))
        .for_each(|(x, out)| norm_rows(level, x, weight, eps, out));
}

/// SwiGLU.
pub(super) fn silu_mul(level: Level, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let inputs = gate.par_chunks(TASK).zip(up.par_chunks(TASK));
    inputs
        .zip(out.par_chunks_mut(TASK))
        .for_each(|((gate, up), out)| gate_rows(level, gate, up, out));
}

/// SwiGLU of pairs, clamped.
pub(super) fn clamped_swiglu(level: Level, x: &[f32], alpha: f32, limit: f32, out: &mut [f32]) {
    x.par_chunks(2 * TASK)
        .zip(out.par_chunks_mut(TASK))
        .for_each(|(x, out)| clamp_rows(level, x, alpha, limit, out));
}

/// Rotation of `x [tokens, heads, 2 * half]` by its tokens' angles, on this thread.
pub(super) fn rotate_rows(
    level: Level,
    x: &mut [f32],
    heads: usize,
    half: usize,
    cos: &[f32],
    sin: &[f32],
) {
    let angles = x.len() / (2 * heads);
    assert!(
        cos.len() == angles && sin.len() == angles,
        "rope: cos and sin must be [tokens, {half}]"
    );
    match level {
        Level::Scalar => {
            for (row, head) in x.chunks_exact_mut(2 * half).enumerate() {
                let angles = row / heads * half..(row / heads + 1) * half;
                scalar::rope_head(head, &cos[angles.clone()], &sin[angles]);
            }
        }
        // SAFETY: whole tokens with their angles.
        _ => unsafe {
            level.run(Rope {
                x,
                heads,
                half,
                cos,
                sin,
            })
        },
    }
}

/// Rotation of `x [tokens, heads, 2 * half]`.
pub(super) fn rope(
    level: Level,
    x: &mut [f32],
    heads: usize,
    half: usize,
    cos: &[f32],
    sin: &[f32],
) {
    let tokens = task(heads * 2 * half) / (heads * 2 * half);
    let angles = cos
        .par_chunks(tokens * half)
        .zip(sin.par_chunks(tokens * half));
    x.par_chunks_mut(tokens * heads * 2 * half)
        .zip(angles)
        .for_each(|(x, (cos, sin))| rotate_rows(level, x, heads, half, cos, sin));
}
