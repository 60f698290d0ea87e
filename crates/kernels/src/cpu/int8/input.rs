//! Where rows of activations come from: as they are, or from the operation before, whose results are then rounded while they
//! are at hand. `activations.rs` takes them row by row.

use std::ops::Range;

use super::Means;
use crate::cpu::elementwise;
use crate::cpu::level::Level;

/// Rows `[m, k]` that will be rounded to eight bits; the same values as those of the operation by itself.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// `[m, k]`.
    Rows(&'a [f32]),
    /// [`rms_norm`](crate::cpu::rms_norm) of x `[m, k]`.
    Normed {
        /// What is normed.
        x: &'a [f32],
        /// Gain `[k]`.
        weight: &'a [f32],
        /// Beside the mean square.
        eps: f32,
    },
    /// [`silu_mul`](crate::cpu::silu_mul) of gate and up `[m, k]`.
    Gated {
        /// Gates.
        gate: &'a [f32],
        /// Ups.
        up: &'a [f32],
    },
    /// [`clamped_swiglu`](crate::cpu::clamped_swiglu) of pairs `[m, k, 2]`.
    Clamped {
        /// Gates and ups.
        pairs: &'a [f32],
        /// Slope of the sigmoid.
        alpha: f32,
        /// Where gates and ups are cut.
        limit: f32,
    },
}

impl<'a> Input<'a> {
    /// How many values they are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Rows(x) => x.len(),
            Self::Normed { x, weight, .. } => {
                let width = weight.len();
                assert!(
                    width > 0 && x.len().is_multiple_of(width),
                    "int8: x must have rows of {width}"
                );
                x.len()
            }
            Self::Gated { gate, up } => {
                assert_eq!(
                    gate.len(),
                    up.len(),
                    "int8: gate and up must have one shape"
                );
                gate.len()
            }
            Self::Clamped { pairs, .. } => pairs.len() / 2,
        }
    }

    /// Some of the values, of whole rows.
    pub(super) fn part(&self, part: Range<usize>) -> Self {
        match *self {
            Self::Rows(x) => Self::Rows(&x[part]),
            Self::Normed { x, weight, eps } => Self::Normed {
                x: &x[part],
                weight,
                eps,
            },
            Self::Gated { gate, up } => Self::Gated {
                gate: &gate[part.clone()],
                up: &up[part],
            },
            Self::Clamped {
                pairs,
                alpha,
                limit,
            } => Self::Clamped {
                pairs: &pairs[2 * part.start..2 * part.end],
                alpha,
                limit,
            },
        }
    }

    /// The values themselves, made in `room`, which has as many, where they are not there already.
    pub(super) fn values<'b>(&self, means: Means, room: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let level = match means {
            Means::Scalar => Level::Scalar,
            Means::Avx2 => Level::Avx2,
            Means::Vnni => Level::Avx512,
        };
        match *self {
            Self::Rows(x) => return x,
            Self::Normed { x, weight, eps } => {
                elementwise::norm_rows(level, x, weight, eps, room);
            }
            Self::Gated { gate, up } => elementwise::gate_rows(level, gate, up, room),
            Self::Clamped {
                pairs,
                alpha,
                limit,
            } => elementwise::clamp_rows(level, pairs, alpha, limit, room),
        }
        room
    }
}
