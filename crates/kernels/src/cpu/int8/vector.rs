//! What `wide.rs` asks of an instruction set; `avx2.rs` and `vnni.rs` have it.

/// What the kernel asks of an instruction set; a lane is a row, with four octets, one integer or one float.
///
/// # Safety
/// Of every function: the CPU has the instruction set, and pointers lead to as many bytes as their vector has.
pub(super) trait Vector {
    /// Rows of a vector.
    const LANES: usize;
    /// Whether [`Self::dot_octets`] takes octets as they are, so that their offset must be taken away at the start.
    const OFFSET_OCTETS: bool;
    type Integers: Copy;
    type Floats: Copy;

    unsafe fn load(p: *const u8) -> Self::Integers;
    /// The same number in each lane.
    unsafe fn splat(value: i32) -> Self::Integers;
    unsafe fn and(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    unsafe fn or(a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// Shifts of pairs of octets; the bits that come from a neighbour are masked by the caller.
    unsafe fn right<const BITS: i32>(a: Self::Integers) -> Self::Integers;
    unsafe fn left<const BITS: i32>(a: Self::Integers) -> Self::Integers;
    /// Octet `codes[i]` of sixteen, for each i.
    unsafe fn lookup(table: &[u8; 16], codes: Self::Integers) -> Self::Integers;
    /// Adds four products a lane; codes are at most 63.
    unsafe fn dot(
        total: Self::Integers,
        codes: Self::Integers,
        x: Self::Integers,
    ) -> Self::Integers;
    /// The same for octets around 128.
    unsafe fn dot_octets(
        total: Self::Integers,
        codes: Self::Integers,
        x: Self::Integers,
    ) -> Self::Integers;

    unsafe fn zero() -> Self::Floats;
    unsafe fn splat_float(value: f32) -> Self::Floats;
    /// Half-precision numbers.
    unsafe fn halves(p: *const u8) -> Self::Floats;
    unsafe fn unsigned(p: *const u8) -> Self::Floats;
    unsafe fn signed(p: *const u8) -> Self::Floats;
    /// Powers of two of exponents, as MXFP4 has them.
    unsafe fn powers(p: *const u8) -> Self::Floats;
    /// The same bits.
    unsafe fn as_floats(a: Self::Integers) -> Self::Floats;
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once.
    unsafe fn mul_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c − a · b`, rounded once.
    unsafe fn mul_sub(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn store(p: *mut f32, a: Self::Floats);
}
