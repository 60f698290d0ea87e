//! Activations rounded to eight bits, with what each layout's kernel needs of every block. `linear_int8` makes them once a
//! product.

use rayon::prelude::*;

use super::input::Input;
use super::layout::Layout;
use super::{BLOCK, Means, ZERO};
use crate::cpu::scratch::with_scratch;

/// Values that a thread rounds at least, before others are asked.
const SERIAL: usize = 32 * 1024;

/// Rounded rows `[rows, k]`.
pub(super) struct Activations<'a> {
    k: usize,
    /// Blocks, and starts, of a row.
    blocks: usize,
    each: usize,
    /// Which of them is taken where; all, one after another, without.
    order: Option<&'a [u32]>,
    codes: &'a [i8],
    /// `[rows, k / 32]`.
    scales: &'a [f32],
    /// [`ZERO`] − offset · Σ codes: `[rows, k / 32]`, for Q6K one for each 16 codes `[rows, k / 16]`.
    starts: &'a [i32],
    /// scale · Σ codes `[rows, k / 32]`, for layouts with minima.
    sums: &'a [f32],
}

/// One row of them.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub codes: &'a [i8],
    pub scales: &'a [f32],
    pub starts: &'a [i32],
    pub sums: &'a [f32],
}

impl Activations<'_> {
    /// Rounds rows of `k` and hands them to `work`, in `order`.
    pub(super) fn with<T>(
        means: Means,
        input: Input<'_>,
        order: Option<&[u32]>,
        k: usize,
        layout: Layout,
        work: impl FnOnce(&Activations<'_>) -> T,
    ) -> T {
        let (rows, blocks) = (input.len() / k, k / BLOCK);
        let fine = if layout == Layout::Q6K { 2 } else { 1 };
        let offset = layout.offset();
        let (a, b, c) = (rows * k / 4, rows * blocks, rows * blocks * fine);
        with_scratch(a + b + b + c, |scratch| {
            let (codes, rest) = scratch.split_at_mut(a);
            let (scales, rest) = rest.split_at_mut(b);
            let (sums, starts) = rest.split_at_mut(b);
            let (codes, starts) = (as_bytes(codes), as_integers(starts));
            let parts = (0..rows)
                .into_par_iter()
                .zip(codes.par_chunks_mut(k))
                .zip(scales.par_chunks_mut(blocks))
                .zip(sums.par_chunks_mut(blocks))
                .zip(starts.par_chunks_mut(blocks * fine));
            parts.with_min_len(SERIAL.div_ceil(k)).for_each(
                |((((row, codes), scales), sums), starts)| {
                    with_scratch(k, |room| {
                        Rounding {
                            x: input.part(row * k..(row + 1) * k).values(means, room),
                            codes,
                            scales,
                            sums,
                            starts,
                            offset,
                            fine: fine == 2,
                        }
                        .run(means);
                    });
                },
            );
            work(&Activations {
                k,
                blocks,
                each: blocks * fine,
                order,
                codes,
                scales,
                starts,
                sums,
            })
        })
    }

    pub(super) fn row(&self, at: usize) -> Row<'_> {
        let row = self.order.map_or(at, |order| order[at] as usize);
        let (blocks, each) = (self.blocks, self.each);
        Row {
            codes: &self.codes[row * self.k..][..self.k],
            scales: &self.scales[row * blocks..][..blocks],
            starts: &self.starts[row * each..][..each],
            sums: &self.sums[row * blocks..][..blocks],
        }
    }
}

fn as_bytes(floats: &mut [f32]) -> &mut [i8] {
    // SAFETY: a float is four bytes, and any bytes are integers.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len() * 4) }
}

fn as_integers(floats: &mut [f32]) -> &mut [i32] {
    // SAFETY: both have four bytes and the same alignment, and any bits are an integer.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}

/// One row with where its parts go.
struct Rounding<'a> {
    x: &'a [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    starts: &'a mut [i32],
    offset: i32,
    /// Whether each half of a block has a start.
    fine: bool,
}

impl Rounding<'_> {
    fn run(self, means: Means) {
        match means {
            // SAFETY: `Means::of` found the features.
            #[cfg(target_arch = "x86_64")]
            Means::Vnni => unsafe { self.avx512() },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Means::Avx2 => unsafe { self.avx2() },
            _ => self.round(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
    fn avx512(self) {
        self.round();
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(self) {
        self.round();
    }

    /// The compiler makes vectors of this where it is inlined into a function with more features.
    #[inline(always)]
    fn round(self) {
        let Self {
            x,
            codes,
            scales,
            sums,
            starts,
            offset,
            fine,
        } = self;
        let blocks = x.chunks_exact(BLOCK).zip(codes.chunks_exact_mut(BLOCK));
        for (b, (x, codes)) in blocks.enumerate() {
            // Magnitudes compare as their bits do, and those of NaN are above all others.
            let most = x.iter().fold(0, |most, v| most.max(v.to_bits() << 1)) >> 1;
            let broken = f32::from_bits(most).is_nan();
            let scale = f32::from_bits(most) / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let mut halves = [0i32; 2];
            for (half, (x, codes)) in x
                .chunks_exact(16)
                .zip(codes.chunks_exact_mut(16))
                .enumerate()
            {
                for (code, v) in codes.iter_mut().zip(x) {
                    // Rounded to the nearest, ties to even, by what cannot be said in so large a number.
                    let rounded = v * inverse + f32::from_bits(ZERO as u32);
                    *code = rounded.to_bits() as i8;
                }
                halves[half] = codes.iter().map(|&c| i32::from(c)).sum();
            }
            // What is no number stays none.
            scales[b] = if broken { f32::NAN } else { scale };
            sums[b] = scales[b] * (halves[0] + halves[1]) as f32;
            if fine {
                starts[2 * b] = ZERO - offset * halves[0];
                starts[2 * b + 1] = ZERO - offset * halves[1];
            } else {
                starts[b] = ZERO - offset * (halves[0] + halves[1]);
            }
        }
    }
}
