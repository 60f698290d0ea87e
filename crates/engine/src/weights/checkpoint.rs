//! Holds a checkpoint's tensors against what its config promises, before any of them is read.

use std::collections::BTreeMap;

use seed_kernels::cpu::BlockFormat;

use super::{Tiles, WeightError, WeightSource};

/// The tensors a config promises, by checkpoint name, with their shapes.
#[derive(Default)]
pub struct Expected {
    tensors: BTreeMap<String, Vec<usize>>,
    packed: BTreeMap<String, Vec<usize>>,
    ignored: Vec<String>,
}

impl Expected {
    /// Adds a tensor that must be there with exactly this shape.
    pub fn tensor(&mut self, name: impl Into<String>, shape: &[usize]) -> &mut Self {
        self.tensors.insert(name.into(), shape.to_vec());
        self
    }

    /// Adds a tensor of packed bytes (U8) that must be there with exactly this shape.
    pub fn packed(&mut self, name: impl Into<String>, shape: &[usize]) -> &mut Self {
        self.packed.insert(name.into(), shape.to_vec());
        self
    }

    /// Names that end so may be there and are not read.
    pub fn ignore_suffix(&mut self, suffix: impl Into<String>) -> &mut Self {
        self.ignored.push(suffix.into());
        self
    }

    /// Tensors whose type the checkpoint chooses, by name, with their shapes.
    pub(super) fn plain(&self) -> impl Iterator<Item = (&String, &Vec<usize>)> {
        self.tensors.iter()
    }

    /// Tensors of packed bytes, by name, with their shapes.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (&String, &Vec<usize>)> {
        self.packed.iter()
    }

    /// Sum of weights: packed codes are two a byte, their scales no weights.
    pub fn parameters(&self) -> u64 {
        let count = |shape: &Vec<usize>| shape.iter().map(|&d| d as u64).product::<u64>();
        let codes = self
            .packed
            .iter()
            .filter(|(name, _)| name.ends_with("_blocks"));
        self.tensors.values().map(count).sum::<u64>()
            + codes.map(|(_, shape)| 2 * count(shape)).sum::<u64>()
    }
}

/// A source whose tensors are known to fit its config.
pub struct Checkpoint<'a> {
    /// Where the tensors come from.
    pub source: &'a dyn WeightSource,
    /// Where matrices may lie in tiles already, and are remembered when they do not.
    pub tiles: Option<&'a Tiles>,
}

impl<'a> Checkpoint<'a> {
    /// Checks names and shapes: a missing, misshapen or unknown tensor is one sentence that names its file.
    pub fn check(source: &'a dyn WeightSource, expected: &Expected) -> Result<Self, WeightError> {
        let mut matrices = vec!["F32", "F16", "BF16", "MXFP4"];
        matrices.extend(BlockFormat::ALL.map(BlockFormat::name));
        let plain = expected.tensors.iter().map(|t| (t, &matrices[..]));
        let packed = expected.packed.iter().map(|t| (t, &["U8"][..]));
        for ((name, shape), types) in plain.chain(packed) {
            check_tensor(source, name, shape, types)?;
        }
        let unknown = source.names().into_iter().find(|name| {
            !expected.tensors.contains_key(*name)
                && !expected.packed.contains_key(*name)
                && !expected.ignored.iter().any(|s| name.ends_with(s.as_str()))
        });
        if let Some(name) = unknown {
            let file = source
                .info(name)
                .map_or_else(|| source.origin(), |i| i.file.clone());
            return Err(WeightError::new(
                file,
                format!("holds tensor {name}, which the architecture in config.json does not have"),
            ));
        }
        Ok(Self {
            source,
            tiles: None,
        })
    }
}

fn check_tensor(
    source: &dyn WeightSource,
    name: &str,
    shape: &[usize],
    types: &[&str],
) -> Result<(), WeightError> {
    let info = source.info(name).ok_or_else(|| {
        WeightError::new(
            source.origin(),
            format!("tensor {name} is missing; config.json promises it with shape {shape:?}"),
        )
    })?;
    if info.shape != shape {
        return Err(WeightError::new(
            &info.file,
            format!(
                "tensor {name} has shape {:?}, but config.json says {shape:?}",
                info.shape
            ),
        ));
    }
    if !types.contains(&info.dtype.as_str()) {
        return Err(WeightError::new(
            &info.file,
            format!(
                "tensor {name} has type {}; {} is supported",
                info.dtype,
                types.join(", ")
            ),
        ));
    }
    Ok(())
}
