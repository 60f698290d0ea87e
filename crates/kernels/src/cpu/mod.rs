//! The public kernels of the CPU: they check shapes, choose the instruction set and cut the work into
//! tasks of rayon's current pool. `seed-engine`'s ops call them from inside `pool.install`.
//!
//! A wrong shape is a caller's bug and panics with a sentence that says which.

mod ahead;
mod attend;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod cached;
mod elementwise;
mod int8;
mod kv;
mod level;
mod linear;
mod packed;
mod pairs;
mod scalar;
mod scratch;
pub(crate) mod simd;
mod soften;
#[cfg(test)]
mod tests;

pub use attention::{Angles, AttentionShape, Span, paged_attention, write_kv};
pub use int8::{
    Group, Input, Product, RowFormat, TileBytes, Tiled, grouped_int8, linear_int8, linears_int8,
    tiled_bytes,
};
pub use kv::{KvBlock, KvElement};
pub use level::Level;

use rayon::prelude::*;

use crate::format::Plain;
pub use crate::format::{BlockFormat, Weights, encode_mxfp4};

/// `y[m, n] = x[m, k] · W[n, k]ᵀ (+ bias[n])` in f32.
///
/// Row i of y depends on row i of x alone, bit by bit: not on m, nor on the number of threads.
pub fn linear(
    x: &[f32],
    m: usize,
    k: usize,
    w: Weights<'_>,
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    linear_at(Level::current(), x, m, k, w, n, bias, y);
}

/// The same with x rounded to bf16, where that is faster on this CPU; elsewhere it is [`linear`].
pub fn linear_bf16(
    x: &[f32],
    m: usize,
    k: usize,
    w: &[half::bf16],
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let level = Level::current();
    check_linear(x, m, k, w.len(), n, bias, y);
    if level.has_pairs() {
        return linear::linear::<linear::Pairs>(level, x, k, w, n, bias, y);
    }
    linear_of(level, x, k, w, n, bias, y);
}

#[allow(clippy::too_many_arguments)] // the public seven and the level, for tests
fn linear_at(
    level: Level,
    x: &[f32],
    m: usize,
    k: usize,
    w: Weights<'_>,
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    check_linear(x, m, k, w.len(), n, bias, y);
    match w {
        Weights::F32(w) => linear_of(level, x, k, w, n, bias, y),
        Weights::F16(w) => linear_of(level, x, k, w, n, bias, y),
        Weights::Bf16(w) => linear_of(level, x, k, w, n, bias, y),
        Weights::Mxfp4 { blocks, scales } => {
            assert!(
                k.is_multiple_of(32) && scales.len() == n * k / 32,
                "linear: k must be whole blocks of 32, and scales [n, k / 32]"
            );
            packed::linear(level, x, k, packed::Mxfp4 { blocks, scales }, n, bias, y)
        }
        Weights::Blocks { format, bytes } => {
            assert!(
                k.is_multiple_of(format.elements()),
                "linear: k must be whole blocks of {}",
                format.elements()
            );
            packed::linear(level, x, k, packed::Blocks { format, bytes }, n, bias, y)
        }
    }
}

fn check_linear(
    x: &[f32],
    m: usize,
    k: usize,
    weights: usize,
    n: usize,
    bias: Option<&[f32]>,
    y: &[f32],
) {
    assert!(k > 0 && n > 0, "linear: k = {k} and n = {n} must not be 0");
    assert_eq!(x.len(), m * k, "linear: x must be [m, k] = [{m}, {k}]");
    assert_eq!(
        weights,
        n * k,
        "linear: weights must be [n, k] = [{n}, {k}]"
    );
    assert_eq!(y.len(), m * n, "linear: y must be [m, n] = [{m}, {n}]");
    assert!(
        bias.is_none_or(|b| b.len() == n),
        "linear: bias must be [n] = [{n}]"
    );
}

fn linear_of<W: Plain>(
    level: Level,
    x: &[f32],
    k: usize,
    w: &[W],
    n: usize,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    if level != Level::Scalar {
        return linear::linear::<linear::Wide<W>>(level, x, k, w, n, bias, y);
    }
    let y = scratch::Shared::new(y);
    w.par_chunks_exact(k)
        .enumerate()
        .for_each_init(Vec::new, |widened, (row, w)| {
            let bias = bias.map_or(0.0, |bias| bias[row]);
            scalar::linear_row(x, w, bias, widened, |i, value| {
                // SAFETY: i < m and row < n, and each task has its own row.
                unsafe { *y.start().add(i * n + row) = value }
            });
        });
}

/// Gathers rows: `out[t, :] = table[ids[t], :]`, widened to f32.
pub fn embed(table: Weights<'_>, dim: usize, ids: &[u32], out: &mut [f32]) {
    assert!(
        dim > 0 && table.len().is_multiple_of(dim),
        "embed: the table must have rows of {dim}"
    );
    assert_eq!(
        out.len(),
        ids.len() * dim,
        "embed: out must be [{}, {dim}]",
        ids.len()
    );
    let rows = table.len() / dim;
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        panic!("embed: id {id} is outside the table of {rows} rows");
    }
    fn gather<W: Plain>(table: &[W], dim: usize, ids: &[u32], out: &mut [f32]) {
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(dim)) {
            let row = &table[id as usize * dim..][..dim];
            out.iter_mut()
                .zip(row)
                .for_each(|(out, w)| *out = w.widen());
        }
    }
    match table {
        Weights::F32(table) => gather(table, dim, ids, out),
        Weights::F16(table) => gather(table, dim, ids, out),
        Weights::Bf16(table) => gather(table, dim, ids, out),
        Weights::Mxfp4 { .. } => panic!("embed: the table must not be MXFP4"),
        Weights::Blocks { format, bytes } => {
            assert!(
                dim.is_multiple_of(format.elements()),
                "embed: rows must be whole blocks of {}",
                format.elements()
            );
            let row = format.row_bytes(dim);
            for (&id, out) in ids.iter().zip(out.chunks_exact_mut(dim)) {
                format.decode(&bytes[id as usize * row..][..row], out);
            }
        }
    }
}

/// The rows of an input by themselves, for what multiplies no tiles.
pub fn values_of(input: Input<'_>) -> Vec<f32> {
    match input {
        Input::Rows(x) => x.to_vec(),
        Input::Normed { x, weight, eps } => {
            let mut out = vec![0f32; x.len()];
            rms_norm(x, weight, eps, &mut out);
            out
        }
        Input::Gated { gate, up } => {
            let mut out = vec![0f32; gate.len()];
            silu_mul(gate, up, &mut out);
            out
        }
        Input::Clamped {
            pairs,
            alpha,
            limit,
        } => {
            let mut out = vec![0f32; pairs.len() / 2];
            clamped_swiglu(pairs, alpha, limit, &mut out);
            out
        }
    }
}

/// RMSNorm (Zhang & Sennrich 2019) of rows of `weight.len()`: `x / √(mean x² + eps) · weight`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    rms_norm_at(Level::current(), x, weight, eps, out);
}

fn rms_norm_at(level: Level, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let width = weight.len();
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "rms_norm: x must have rows of {width}"
    );
    assert_eq!(x.len(), out.len(), "rms_norm: out must have the shape of x");
    elementwise::rms_norm(level, x, weight, eps, out);
}

/// `out = silu(gate) · up` (Shazeer 2020, SwiGLU).
pub fn silu_mul(gate: &[f32], up: &[f32], out: &mut [f32]) {
    silu_mul_at(Level::current(), gate, up, out);
}

fn silu_mul_at(level: Level, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert_eq!(
        gate.len(),
        up.len(),
        "silu_mul: gate and up must have one shape"
    );
    assert_eq!(
        gate.len(),
        out.len(),
        "silu_mul: out must have the shape of gate"
    );
    elementwise::silu_mul(level, gate, up, out);
}

/// gpt-oss's gated activation: of pairs `gate, up` in `x [.., 2]`, the gate cut above `limit` and the up on both sides,
/// `out = (up + 1) · gate · sigmoid(alpha · gate)`.
pub fn clamped_swiglu(x: &[f32], alpha: f32, limit: f32, out: &mut [f32]) {
    clamped_swiglu_at(Level::current(), x, alpha, limit, out);
}

fn clamped_swiglu_at(level: Level, x: &[f32], alpha: f32, limit: f32, out: &mut [f32]) {
    assert_eq!(
        x.len(),
        2 * out.len(),
        "clamped_swiglu: x must have two for each of out"
    );
    elementwise::clamped_swiglu(level, x, alpha, limit, out);
}

/// Half-rotation (NeoX) RoPE in place on `x [tokens, heads, head_dim]`; `cos`, `sin`
/// `[tokens, head_dim / 2]`: x₁' = x₁c − x₂s, x₂' = x₂c + x₁s.
pub fn rope(x: &mut [f32], tokens: usize, heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) {
    rope_at(Level::current(), x, tokens, heads, head_dim, cos, sin);
}

fn rope_at(
    level: Level,
    x: &mut [f32],
    tokens: usize,
    heads: usize,
    head_dim: usize,
    cos: &[f32],
    sin: &[f32],
) {
    assert!(
        heads > 0 && head_dim > 0 && head_dim.is_multiple_of(2),
        "rope: head_dim {head_dim} must be even"
    );
    assert_eq!(
        x.len(),
        tokens * heads * head_dim,
        "rope: x must be [{tokens}, {heads}, {head_dim}]"
    );
    let half = head_dim / 2;
    assert_eq!(
        cos.len(),
        tokens * half,
        "rope: cos must be [{tokens}, {half}]"
    );
    assert_eq!(
        sin.len(),
        tokens * half,
        "rope: sin must be [{tokens}, {half}]"
    );
    elementwise::rope(level, x, heads, half, cos, sin);
}
