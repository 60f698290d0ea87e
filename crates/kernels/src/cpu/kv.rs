//! What the KV cache is made of: f32, bf16, or blocks of eight bits. `attention.rs` writes and reads rows of them.

use half::bf16;

use super::simd::Simd;

/// Elements of a block of eight bits.
const BLOCK: usize = 32;

/// A block of the cache: a bf16 scale, then 32 signed bytes. A byte c means `scale · c`.
pub type KvBlock = [u8; 2 + BLOCK];

/// What rows of the cache are made of: `f32`, `half::bf16` or [`KvBlock`].
#[allow(private_bounds)] // sealed: formats are this crate's own
pub trait KvElement: Sealed + Copy + Send + Sync + 'static {
    /// Elements of a row in one of these; a row is whole ones.
    const HOLDS: usize;
    /// Whether its elements may be multiplied as bf16.
    const PAIRS: bool;
    /// Zeros.
    const ZERO: Self;

    /// Rounds a row into its place. Of a row that is not finite nothing finite is kept.
    fn put(row: &[f32], to: &mut [Self]);

    /// The values of a row.
    fn widen(from: &[Self], row: &mut [f32]);

    /// `S::LANES` elements of a row from `at`, a multiple of them, on.
    ///
    /// # Safety
    /// The row has them; the CPU has `S`'s features.
    unsafe fn vector<S: Simd>(row: *const Self, at: usize) -> S;

    /// The 32 elements from `at`, a multiple of 32, on as pairs of bf16.
    ///
    /// # Safety
    /// The row has them; the CPU has `S`'s features and adds pairs.
    unsafe fn pairs<S: Simd>(row: *const Self, at: usize) -> S;
}

trait Sealed {}
impl Sealed for f32 {}
impl Sealed for bf16 {}
impl Sealed for KvBlock {}

impl KvElement for f32 {
    const HOLDS: usize = 1;
    const PAIRS: bool = false;
    const ZERO: Self = 0.0;

    fn put(row: &[f32], to: &mut [Self]) {
        to.copy_from_slice(row);
    }

    fn widen(from: &[Self], row: &mut [f32]) {
        row.copy_from_slice(from);
    }

    #[inline(always)]
    unsafe fn vector<S: Simd>(row: *const Self, at: usize) -> S {
        // SAFETY: the caller's promise.
        unsafe { S::load(row.add(at)) }
    }

    #[inline(always)]
    unsafe fn pairs<S: Simd>(_: *const Self, _: usize) -> S {
        unreachable!("attention: f32 is not multiplied as bf16")
    }
}

impl KvElement for bf16 {
    const HOLDS: usize = 1;
    const PAIRS: bool = true;
    const ZERO: Self = bf16::ZERO;

    fn put(row: &[f32], to: &mut [Self]) {
        to.iter_mut()
            .zip(row)
            .for_each(|(to, from)| *to = bf16::from_f32(*from));
    }

    fn widen(from: &[Self], row: &mut [f32]) {
        row.iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to = from.to_f32());
    }

    #[inline(always)]
    unsafe fn vector<S: Simd>(row: *const Self, at: usize) -> S {
        // SAFETY: the caller's promise; bf16 is a transparent u16.
        unsafe { S::load_bf16(row.add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn pairs<S: Simd>(row: *const Self, at: usize) -> S {
        // SAFETY: the caller's promise; a pair is two bf16 in the place of an f32.
        unsafe { S::load(row.add(at).cast()) }
    }
}

/// The scale of a block whose largest value is `most`: bf16, rounded up, so that the largest code is 127 at most.
fn scale_of(most: f32) -> f32 {
    let exact = most / 127.0;
    if exact < f32::MIN_POSITIVE {
        return 0.0;
    }
    let kept = bf16::from_f32(exact);
    let kept = match kept.to_f32() < exact {
        true => bf16::from_bits(kept.to_bits() + 1),
        false => kept,
    };
    kept.to_f32()
}

impl KvElement for KvBlock {
    const HOLDS: usize = BLOCK;
    const PAIRS: bool = true;
    const ZERO: Self = [0; 2 + BLOCK];

    fn put(row: &[f32], to: &mut [Self]) {
        for (values, to) in row.chunks_exact(BLOCK).zip(to) {
            // A sum of magnitudes is finite where all of them are, and a maximum would pass NaN over.
            let finite = values
                .iter()
                .map(|v| v.abs() / 64.0)
                .sum::<f32>()
                .is_finite();
            let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
            let scale = if finite { scale_of(most) } else { f32::NAN };
            let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
            let (kept, codes) = to.split_at_mut(2);
            kept.copy_from_slice(&bf16::from_f32(scale).to_le_bytes());
            for (code, value) in codes.iter_mut().zip(values) {
                *code = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8 as u8;
            }
        }
    }

    fn widen(from: &[Self], row: &mut [f32]) {
        for (block, row) in from.iter().zip(row.chunks_exact_mut(BLOCK)) {
            let scale = scale_in(block);
            for (to, code) in row.iter_mut().zip(&block[2..]) {
                *to = scale * f32::from(*code as i8);
            }
        }
    }

    #[inline(always)]
    unsafe fn vector<S: Simd>(row: *const Self, at: usize) -> S {
        // SAFETY: the caller's promise; lanes divide a block.
        unsafe {
            let block = &*row.add(at / BLOCK);
            let codes = S::load_i8(block[2 + at % BLOCK..].as_ptr().cast());
            S::splat(scale_in(block)).mul(codes)
        }
    }

    #[inline(always)]
    unsafe fn pairs<S: Simd>(row: *const Self, at: usize) -> S {
        // SAFETY: the caller's promise; levels with pairs have sixteen lanes.
        unsafe { S::narrow(Self::vector(row, at), Self::vector(row, at + BLOCK / 2)) }
    }
}

#[inline(always)]
fn scale_in(block: &KvBlock) -> f32 {
    // The upper half of an f32; the conversion of `half` looks after NaN, which needs none.
    f32::from_bits(u32::from(u16::from_le_bytes([block[0], block[1]])) << 16)
}
