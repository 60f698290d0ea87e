//! Linear layers whose weights keep their checkpoint format, each declared column-, row- or not split.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use seed_kernels::cpu::{self, Group, Input, Product, Tiled, Weights};

use super::norm::RmsNorm;
use super::{f32s, with_slices};
use crate::weights::Matrix;

/// What makes the rows that linears take; it is done row by row where they are rounded.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// `[tokens, in]`, normed.
    Normed(&'a Tensor, &'a RmsNorm),
    /// `silu(gate) * up`, both `[tokens, in]`.
    Gated(&'a Tensor, &'a Tensor),
}

impl Source<'_> {
    /// Calls `work` with them as kernels take them.
    fn with<T>(&self, work: impl FnOnce(Input<'_>) -> T) -> Result<T> {
        match self {
            Self::Normed(x, norm) => with_slices([x], "linears", |[x]| work(norm.input(x))),
            Self::Gated(gate, up) => with_slices([gate, up], "linears", |[gate, up]| {
                work(Input::Gated { gate, up })
            }),
        }
    }

    /// How many rows, and on which device.
    fn shape(&self) -> Result<(usize, &Tensor)> {
        let (Self::Normed(x, _) | Self::Gated(x, _)) = self;
        Ok((x.dims2()?.0, x))
    }
}

/// Linears of the same rows, each `[tokens, out]`; tiles of one layout share what is made and rounded.
pub fn several<const N: usize>(source: &Source<'_>, linears: [&Linear; N]) -> Result<[Tensor; N]> {
    let tiles = linears.map(Linear::tiles);
    let alike = |tiles: &Option<&Arc<Tiled>>| match (tiles, linears[0].tiles()) {
        (Some(one), Some(first)) => one.layout() == first.layout() && one.cols() == first.cols(),
        _ => false,
    };
    let (tokens, x) = source.shape()?;
    if !tiles.iter().all(alike) {
        let rows = source.with(cpu::values_of)?;
        let rows = Tensor::from_vec(rows, (tokens, linears[0].inputs()), x.device())?;
        return every(linears.map(|linear| linear.forward(&rows)));
    }
    let mut made = linears.map(|linear| vec![0f32; tokens * linear.outputs()]);
    source.with(|input| {
        let weights = tiles.into_iter().flatten().zip(linears);
        let mut products: Vec<Product<'_>> = weights
            .zip(&mut made)
            .map(|((weight, linear), y)| Product {
                weight,
                bias: linear.bias.as_deref(),
                y,
            })
            .collect();
        cpu::linears_int8(input, &mut products);
    })?;
    let outputs = linears.map(Linear::outputs);
    let mut made = made.into_iter().zip(outputs);
    every(std::array::from_fn(|_| {
        let (y, outputs) = made.next().unwrap_or_default();
        Tensor::from_vec(y, (tokens, outputs), x.device())
    }))
}

/// All of them, or the first error.
fn every<const N: usize>(results: [Result<Tensor>; N]) -> Result<[Tensor; N]> {
    let all = results.into_iter().collect::<Result<Vec<_>>>()?;
    all.try_into()
        .map_err(|_| candle_core::Error::msg("linears: as many as there are"))
}

/// `y = x · Wᵀ + b` with `W [out, in]`.
#[derive(Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Vec<f32>>,
    /// Activations may be rounded as the weights are.
    rounds: bool,
}

#[derive(Clone)]
enum Weight {
    /// Multiplied in f32, or in bf16.
    Plain(Matrix),
    /// Multiplied with activations rounded to eight bits.
    Tiled(Arc<Tiled>),
}

impl Linear {
    /// A linear from its matrix and, where the checkpoint has one, its bias `[out]`.
    pub fn new(weight: Matrix, bias: Option<Vec<f32>>) -> Self {
        Self {
            weight: Weight::Plain(weight),
            bias,
            rounds: false,
        }
    }

    /// The same with activations rounded to bf16, where its weights are bf16 and the machine multiplies those faster.
    pub fn rounded(self) -> Self {
        Self {
            rounds: true,
            ..self
        }
    }

    /// A linear of tiles; activations are rounded to eight bits.
    pub fn tiled(tiles: Arc<Tiled>, bias: Option<Vec<f32>>) -> Self {
        Self {
            weight: Weight::Tiled(tiles),
            bias,
            rounds: true,
        }
    }

    /// Its tiles, where it has them.
    pub fn tiles(&self) -> Option<&Arc<Tiled>> {
        match &self.weight {
            Weight::Plain(_) => None,
            Weight::Tiled(tiles) => Some(tiles),
        }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        match &self.weight {
            Weight::Plain(matrix) => matrix.rows(),
            Weight::Tiled(tiled) => tiled.rows(),
        }
    }

    /// Number of inputs.
    fn inputs(&self) -> usize {
        match &self.weight {
            Weight::Plain(matrix) => matrix.cols(),
            Weight::Tiled(tiled) => tiled.cols(),
        }
    }

    /// The same on slices: `x [tokens, in]`, `y [tokens, out]`.
    pub(crate) fn multiply(&self, x: &[f32], tokens: usize, y: &mut [f32]) {
        let bias = self.bias.as_deref();
        match &self.weight {
            Weight::Plain(w) => match w.weights() {
                Weights::Bf16(values) if self.rounds => {
                    cpu::linear_bf16(x, tokens, w.cols(), values, w.rows(), bias, y);
                }
                weights => cpu::linear(x, tokens, w.cols(), weights, w.rows(), bias, y),
            },
            Weight::Tiled(w) => cpu::linear_int8(x, tokens, w, bias, y),
        }
    }

    /// Rows through one of several linears each (grouped GEMM): `y[s, out]` of rows `order[s]` of the input `[tokens, in]`,
    /// or of its rows as they are; each linear takes as many as are said beside it, one after another.
    pub(crate) fn multiply_grouped(
        groups: &[(&Self, usize)],
        input: Input<'_>,
        order: Option<&[u32]>,
        y: &mut [f32],
    ) {
        let tiled: Option<Vec<Group<'_>>> = groups
            .iter()
            .map(|&(linear, rows)| match &linear.weight {
                Weight::Tiled(weight) => Some(Group {
                    weight,
                    bias: linear.bias.as_deref(),
                    rows,
                }),
                Weight::Plain(_) => None,
            })
            .collect();
        if let Some(groups) = tiled {
            return cpu::grouped_int8(input, order, &groups, y);
        }
        let made;
        let x = match input {
            Input::Rows(x) => x,
            other => {
                made = cpu::values_of(other);
                &made
            }
        };
        let (mut at, mut rest) = (0, y);
        for &(linear, rows) in groups {
            let inputs = linear.inputs();
            let (y, others) = rest.split_at_mut(rows * linear.outputs());
            match order {
                Some(order) => {
                    let rows = order[at..at + rows].iter();
                    let x = rows.flat_map(|&row| &x[row as usize * inputs..][..inputs]);
                    let x: Vec<f32> = x.copied().collect();
                    linear.multiply(&x, x.len() / inputs, y);
                }
                None => linear.multiply(&x[at * inputs..][..rows * inputs], rows, y),
            }
            (at, rest) = (at + rows, others);
        }
    }

    /// `x [tokens, in]` → `[tokens, out]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = f32s(storage, layout, "linear")?;
        let (tokens, _) = layout.shape().dims2()?;
        let outputs = self.outputs();
        let mut y = vec![0f32; tokens * outputs];
        self.multiply(x, tokens, &mut y);
        Ok((CpuStorage::F32(y), Shape::from((tokens, outputs))))
    }
}
