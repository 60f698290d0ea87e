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

    /// The instruction sets that the levels above scalar ask for, each with whether this CPU has it.
    pub fn features() -> Vec<(&'static str, bool)> {
        #[cfg(target_arch = "x86_64")]
        macro_rules! asked {
            ($($name:tt),*) => { vec![$(($name, is_x86_feature_detected!($name))),*] };
        }
        #[cfg(target_arch = "x86_64")]
        return asked!(
            "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq"
        );
        #[cfg(not(target_arch = "x86_64"))]
        Vec::new()
    }

    /// Name as `SEED_KERNELS` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this CPU multiplies pairs of bf16 at this level.
    pub(super) fn has_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Avx512 && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
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
            // SAFETY: as above; a kernel of pairs is run where `has_pairs`, as is asserted.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if K::PAIRS => unsafe {
                assert!(self.has_pairs(), "this CPU has no products of bf16");
                avx512::Avx512Bf16::enter(kernel)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::Avx512::enter(kernel) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => drop(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn the_best_level_is_the_one_whose_features_are_all_there() {
        let all = |level: &str| {
            let mut asked = Level::features()
                .into_iter()
                .filter(|(name, _)| match level {
                    "avx512" => true,
                    _ => !name.starts_with("avx512"),
                });
            cfg!(target_arch = "x86_64") && asked.all(|(_, here)| here)
        };
        let best = Level::best();
        assert_eq!(best == Level::Avx512, all("avx512"));
        assert_eq!(best >= Level::Avx2, all("avx2"));
        assert!(Level::current() <= best);
    }
}
