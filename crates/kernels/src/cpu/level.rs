//! Which instruction set this process uses; every public kernel asks it once a call.

use std::sync::OnceLock;

use super::simd::Kernel;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, simd::Simd};

/// Instruction sets, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, any machine.
    Scalar,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 f, bw, vl, dq.
    Avx512,
}

impl Level {
    /// The level in use: the best this CPU has, or a lower one named by `SEED_KERNELS`.
    pub fn current() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let best = Self::best();
            match std::env::var("SEED_KERNELS").as_deref() {
                Ok("scalar") => Self::Scalar,
                Ok("avx2") => best.min(Self::Avx2),
                _ => best,
            }
        })
    }

    /// The best level this CPU has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if avx512::available() {
                return Self::Avx512;
            }
            if avx2::available() {
                return Self::Avx2;
            }
        }
        Self::Scalar
    }

    /// Lanes of the level's vectors; 1 for scalar.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }

    /// Runs a vector kernel. Scalar has none: its callers go to `scalar.rs` instead.
    ///
    /// # Safety
    /// What the kernel's constructor promises holds.
    pub(super) unsafe fn run<K: Kernel>(self, kernel: K) {
        assert!(self <= Self::best(), "this CPU has no {self:?}");
        match self {
            Self::Scalar => unreachable!("the scalar level has no vector kernels"),
            // SAFETY: `best` says that the CPU has the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::Avx2::enter(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::Avx512::enter(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => drop(kernel),
        }
    }
}
