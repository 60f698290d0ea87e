//! Products of quantised weights with activations rounded to eight bits: integers inside a block, f32 across blocks.
//! [`Tiled`] is made once at load, or mapped from where an earlier load kept it; `seed-engine`'s matrices hold it.
//!
//! # Arithmetic
//! A row of activations is cut into blocks of 32, each with the scale `max |x| / 127`. Weights are non-negative codes c
//! with `w = scale · (c − offset)`, or `scale · c − least`. A block adds `float(Σ (c − offset) · q) · scale_w · scale_x` to an
//! f32, blocks in order: no instruction set, batch or thread count changes a bit of it.
//!
//! # Layout
//! Sixteen rows make a tile. A step is four columns of them, 64 bytes, row by row: one vector of `vpdpbusd`, which adds
//! the products of four unsigned with four signed bytes in each of its sixteen lanes.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod input;
mod layout;
mod scalar;
mod tiled;
mod tiling;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
mod vnni;
#[cfg(target_arch = "x86_64")]
mod wide;

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use self::activations::Activations;
pub use self::input::Input;
pub use self::tiled::{RowFormat, TileBytes, Tiled, tiled_bytes};
use super::level::Level;
use super::scratch::Shared;

/// Rows of a tile.
const ROWS: usize = 16;
/// Columns that share a scale of the activations.
const BLOCK: usize = 32;
/// Where the integer sums of a block begin: the bits of the f32 1.5 · 2^23, whose last bit is worth 1. Read as an f32, a sum
/// is that plus what was added, exactly up to 2^22; one multiply-add scales it and takes the 1.5 · 2^23 away, with one rounding
/// as if it had been converted, as long as the scale is below 2^104 (beyond there are no numbers).
const ZERO: i32 = 0x4b40_0000;
/// Activation rows of a task.
const COLUMNS: usize = 64;
/// Activation rows that are rounded at once; bounds their copy.
const ROUNDED_ROWS: usize = 512;
/// Columns from which on arithmetic, not memory, is what takes time.
const FEW: usize = 3;
/// Bytes of weights in one task, which stay in L2.
const TASK_BYTES: usize = 192 * 1024;
/// Multiply-adds below which a task is not worth handing to another thread.
const SERIAL_WORK: usize = 64 * 1024;

/// Which instructions multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// Plain Rust.
    Scalar,
    /// AVX2.
    Avx2,
    /// AVX-512 with VNNI.
    Vnni,
}

impl Means {
    pub(super) fn current() -> Self {
        static MEANS: OnceLock<Means> = OnceLock::new();
        *MEANS.get_or_init(|| Self::of(Level::current()))
    }

    /// Tiles at once for so many columns: with two, what is loaded of the activations is used twice; few columns wait for
    /// memory, which one stream reads faster.
    fn tiles(self, columns: usize) -> usize {
        match self {
            Self::Vnni if columns >= FEW => 2,
            Self::Vnni | Self::Scalar | Self::Avx2 => 1,
        }
    }

    /// The best of a level.
    pub(super) fn of(level: Level) -> Self {
        match level {
            Level::Scalar => Self::Scalar,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if is_x86_feature_detected!("avx512vnni") => Self::Vnni,
            Level::Avx2 | Level::Avx512 => Self::Avx2,
        }
    }
}

/// Rows that go through one matrix.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// The matrix, of the same shape and format in every group.
    pub weight: &'a Tiled,
    /// `[n]`.
    pub bias: Option<&'a [f32]>,
    /// How many rows.
    pub rows: usize,
}

/// `y[m, n] = x[m, k] · W[n, k]ᵀ (+ bias[n])` with x rounded to eight bits.
///
/// Row i of y depends on row i of x alone, bit by bit: not on m, nor on the number of threads or the instruction set.
pub fn linear_int8(x: &[f32], m: usize, w: &Tiled, bias: Option<&[f32]>, y: &mut [f32]) {
    linear_by(Means::current(), x, m, w, bias, y);
}

/// One of several products with the same rows.
pub struct Product<'a> {
    /// `[n, k]`.
    pub weight: &'a Tiled,
    /// `[n]`.
    pub bias: Option<&'a [f32]>,
    /// `[m, n]`.
    pub y: &'a mut [f32],
}

/// Several products with the same rows, which are made and rounded once; bit by bit those of the single operations. All
/// matrices must have the same columns and layout.
pub fn linears_int8(input: Input<'_>, products: &mut [Product<'_>]) {
    linears_by(Means::current(), input, products);
}

pub(super) fn linears_by(means: Means, input: Input<'_>, products: &mut [Product<'_>]) {
    let Some(Product { weight: first, .. }) = products.first() else {
        return;
    };
    let (layout, k) = (first.layout, first.k);
    let m = input.len() / k;
    assert_eq!(input.len(), m * k, "linears_int8: rows must be of {k}");
    for Product { weight, y, .. } in products.iter() {
        assert!(
            (weight.layout, weight.k) == (layout, k),
            "linears_int8: matrices must have the same columns and layout"
        );
        assert_eq!(
            y.len(),
            m * weight.n,
            "linears_int8: y must be [m, n] = [{m}, {}]",
            weight.n
        );
    }
    for first in (0..m).step_by(ROUNDED_ROWS) {
        let rows = ROUNDED_ROWS.min(m - first);
        let part = input.part(first * k..(first + rows) * k);
        Activations::with(means, part, None, k, layout, |x| {
            for Product { weight, bias, y } in products.iter_mut() {
                let (weight, bias) = (*weight, *bias);
                let y = &mut y[first * weight.n..][..rows * weight.n];
                multiply(means, x, &[Group { weight, bias, rows }], Shared::new(y));
            }
        });
    }
}

pub(super) fn linear_by(
    means: Means,
    x: &[f32],
    m: usize,
    w: &Tiled,
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let k = w.k;
    assert_eq!(x.len(), m * k, "linear_int8: x must be [m, k] = [{m}, {k}]");
    let product = Product { weight: w, bias, y };
    linears_by(means, Input::Rows(x), &mut [product]);
}

/// `y[s, n]` of the experts of a layer: the groups' rows one group after another, row i being row `order[i]` of the input
/// (row i without an order) times its group's matrix. A row of it is rounded once, and all groups are one parallel region.
///
/// What holds for a row of [`linear_int8`] holds for these, bit by bit.
pub fn grouped_int8(input: Input<'_>, order: Option<&[u32]>, groups: &[Group<'_>], y: &mut [f32]) {
    grouped_by(Means::current(), input, order, groups, y);
}

pub(super) fn grouped_by(
    means: Means,
    input: Input<'_>,
    order: Option<&[u32]>,
    groups: &[Group<'_>],
    y: &mut [f32],
) {
    let Some(Group { weight: first, .. }) = groups.first() else {
        return;
    };
    let (layout, n, k) = (first.layout, first.n, first.k);
    for Group { weight, bias, .. } in groups {
        assert!(
            (weight.layout, weight.n, weight.k) == (layout, n, k),
            "grouped_int8: matrices must have one shape and format"
        );
        assert!(
            bias.is_none_or(|b| b.len() == n),
            "grouped_int8: bias must be [n] = [{n}]"
        );
    }
    let (m, rows) = (input.len() / k, groups.iter().map(|group| group.rows).sum());
    assert!(
        input.len() == m * k && order.map_or(m, <[u32]>::len) == rows,
        "grouped_int8: x must be [m, k] with k = {k}, and {rows} of its rows taken"
    );
    assert!(
        order.is_none_or(|order| order.iter().all(|&row| (row as usize) < m)),
        "grouped_int8: the order must be of rows below {m}"
    );
    assert_eq!(
        y.len(),
        rows * n,
        "grouped_int8: y must be [rows, n] = [{rows}, {n}]"
    );
    Activations::with(means, input, order, k, layout, |x| {
        multiply(means, x, groups, Shared::new(y));
    });
}

/// Cuts the products into tasks and runs them: some tiles of a group's matrix with some of its rows.
fn multiply(means: Means, x: &Activations<'_>, groups: &[Group<'_>], y: Shared<f32>) {
    let (layout, n, k) = {
        let weight = groups[0].weight;
        (weight.layout, weight.n, weight.k)
    };
    let tiles = n.div_ceil(ROWS);
    let balanced = (tiles * groups.len()).div_ceil(8 * rayon::current_num_threads());
    let each = (TASK_BYTES / layout.tile_bytes(k)).clamp(1, balanced.min(tiles));
    let stripes = tiles.div_ceil(each);
    // Of each group its first task and its first row.
    let (mut tasks, mut rows) = (0, 0);
    let begins: Vec<(usize, usize)> = groups
        .iter()
        .map(|group| {
            let begin = (tasks, rows);
            tasks += stripes * group.rows.div_ceil(COLUMNS);
            rows += group.rows;
            begin
        })
        .collect();
    let task = |task: usize| {
        let at = begins.partition_point(|&(first, _)| first <= task) - 1;
        let (group, (begin, row)) = (&groups[at], begins[at]);
        let task = task - begin;
        let first = task % stripes * each;
        let column = row + task / stripes * COLUMNS;
        let columns = column..(row + group.rows).min(column + COLUMNS);
        let stop = tiles.min(first + each);
        let mut tile = first;
        while tile < stop {
            let taken = (stop - tile).min(means.tiles(columns.len()));
            let part = tile..tile + taken;
            some_tiles(means, x, group.weight, part, columns.clone(), group.bias, y);
            tile += taken;
        }
    };
    if n * k * rows < SERIAL_WORK {
        (0..tasks).for_each(task);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Sixteen outputs a tile for some rows of activations; as many tiles at once as `means` takes, or one.
fn some_tiles(
    means: Means,
    x: &Activations<'_>,
    w: &Tiled,
    tiles: Range<usize>,
    columns: Range<usize>,
    bias: Option<&[f32]>,
    y: Shared<f32>,
) {
    let first = tiles.start;
    let put = |tile: usize, column: usize, sums: &[f32; ROWS]| {
        let row = (first + tile) * ROWS;
        for (r, sum) in sums[..ROWS.min(w.n - row)].iter().enumerate() {
            let value = bias.map_or(*sum, |bias| sum + bias[row + r]);
            // SAFETY: column < m and row + r < n; each task has its own tiles or columns.
            unsafe { *y.start().add(column * w.n + row + r) = value }
        }
    };
    match means {
        Means::Scalar => scalar::tile(w.layout, w.tile(first), x, columns, |column, sums| {
            put(0, column, sums);
        }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Means::of` found the features; the tile and the activations have the same columns.
        Means::Avx2 => unsafe { avx2::tiles(w.layout, [w.tile(first)], x, columns, put) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Means::Vnni => unsafe {
            match tiles.len() {
                1 => vnni::tiles(w.layout, [w.tile(first)], x, columns, put),
                _ => {
                    let tiles = [w.tile(first), w.tile(first + 1)];
                    vnni::tiles(w.layout, tiles, x, columns, put);
                }
            }
        },
        #[cfg(not(target_arch = "x86_64"))]
        _ => scalar::tile(w.layout, w.tile(first), x, columns, |column, sums| {
            put(0, column, sums);
        }),
    }
}
