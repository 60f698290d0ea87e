//! Which rows of which files make up a tensor under its Hugging Face name. `GgufFile` builds and reads these entries.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::header::{GgmlType, TensorPlace};
use super::names::{Role, role};
use crate::weights::{StorageDType, TensorInfo, WeightError};

/// One stretch of rows: a whole tensor, or half of one that holds gates and ups.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) map: Arc<Mmap>,
    start: usize,
    pub(super) kind: GgmlType,
    /// Bytes from one expert's rows to the next one's.
    stride: usize,
    pub(super) rows: usize,
    pub(super) row_bytes: usize,
}

impl Rows {
    pub(super) fn range(&self, expert: usize, rows: Range<usize>) -> Range<usize> {
        let start = self.start + expert * self.stride;
        start + rows.start * self.row_bytes..start + rows.end * self.row_bytes
    }

    pub(super) fn row(&self, expert: usize, row: usize) -> &[u8] {
        &self.map[self.range(expert, row..row + 1)]
    }
}

pub(super) enum Parts {
    Whole(Rows),
    /// Gates and ups, of the same shape; interleaved they are one tensor.
    GateUp(Rows, Rows),
}

pub(super) struct Entry {
    pub(super) info: TensorInfo,
    pub(super) parts: Parts,
}

impl Rows {
    pub(super) fn dtype(&self) -> StorageDType {
        match self.kind {
            GgmlType::F32 => StorageDType::F32,
            GgmlType::F16 => StorageDType::F16,
            GgmlType::Bf16 => StorageDType::Bf16,
            GgmlType::Mxfp4 => StorageDType::Mxfp4,
            GgmlType::Blocks(format) => StorageDType::Blocks(format),
        }
    }
}

/// One expert's gates and ups as interleaved rows: row 2i is gate i, row 2i + 1 is up i.
pub(super) fn interleaved<'a>(
    gate: &'a Rows,
    up: &'a Rows,
    expert: usize,
) -> impl Iterator<Item = &'a [u8]> {
    (0..gate.rows).flat_map(move |row| [gate.row(expert, row), up.row(expert, row)])
}

/// Enters a tensor under its Hugging Face name; the halves of experts wait for each other.
pub(super) fn place(
    file: &Path,
    map: &Arc<Mmap>,
    tensor: &TensorPlace,
    entries: &mut BTreeMap<String, Entry>,
    halves: &mut BTreeMap<String, Half>,
) -> Result<(), WeightError> {
    let error = |reason: String| WeightError::new(file, reason);
    let known = role(&tensor.name).ok_or_else(|| {
        error(format!(
            "holds tensor {}, which neither Seed-OSS nor gpt-oss has",
            tensor.name
        ))
    })?;
    let (values, size) = tensor.kind.block();
    // An experts' bias is `[experts, outputs]`: as many matrices of one column.
    let (experts, cols) = match (&known, &tensor.shape[..]) {
        (Role::Whole(_), [.., cols]) if tensor.shape.len() < 3 => (1, *cols),
        (
            Role::Whole(_) | Role::Gate(_) | Role::Up(_) | Role::GateThenUp(_),
            [experts, _, cols],
        ) => (*experts, *cols),
        (_, [experts, _]) if values == 1 => (*experts, 1),
        _ => {
            return Err(error(format!(
                "gives tensor {} the shape {:?}",
                tensor.name, tensor.shape
            )));
        }
    };
    let row_bytes = cols / values * size;
    let rows = tensor.len / row_bytes / experts;
    let all = Rows {
        map: Arc::clone(map),
        start: tensor.start,
        kind: tensor.kind,
        stride: rows * row_bytes,
        rows,
        row_bytes,
    };
    let info = |shape: Vec<usize>| TensorInfo {
        dtype: tensor.kind.name().into(),
        shape,
        file: file.to_path_buf(),
    };
    let mut add = |name: String, entry: Entry| {
        entries
            .insert(name.clone(), entry)
            .map_or(Ok(()), |_| Err(error(format!("holds {name} in two forms"))))
    };
    match known {
        Role::Whole(name) => {
            let shape = in_checkpoint_order(&tensor.shape);
            add(
                name,
                Entry {
                    info: info(shape),
                    parts: Parts::Whole(all),
                },
            )
        }
        Role::GateThenUp(name) => {
            let half = |first: usize| Rows {
                start: all.start + first * row_bytes,
                rows: rows / 2,
                ..all.clone()
            };
            if rows % 2 == 1 {
                return Err(error(format!(
                    "gives {} an odd number of rows",
                    tensor.name
                )));
            }
            let parts = Parts::GateUp(half(0), half(rows / 2));
            let shape = in_checkpoint_order(&tensor.shape);
            add(
                name,
                Entry {
                    info: info(shape),
                    parts,
                },
            )
        }
        Role::Gate(ref name) | Role::Up(ref name) => {
            let is_gate = matches!(known, Role::Gate(_));
            let half = Half {
                info: info(tensor.shape.clone()),
                rows: all,
                is_gate,
            };
            let Some(other) = halves.remove(name) else {
                halves.insert(name.clone(), half);
                return Ok(());
            };
            let fits = other.is_gate != is_gate
                && other.info.shape == half.info.shape
                && other.rows.kind == half.rows.kind;
            if !fits {
                return Err(error(format!(
                    "holds gates and ups of {name} that differ in shape or type"
                )));
            }
            let (gate, up) = if is_gate {
                (half, other)
            } else {
                (other, half)
            };
            let mut shape = gate.info.shape.clone();
            // Rows are the outputs; a bias has them last.
            let outputs = if shape.len() == 3 { 1 } else { shape.len() - 1 };
            shape[outputs] *= 2;
            let shape = in_checkpoint_order(&shape);
            add(
                name.clone(),
                Entry {
                    info: TensorInfo { shape, ..gate.info },
                    parts: Parts::GateUp(gate.rows, up.rows),
                },
            )
        }
    }
}

pub(super) struct Half {
    pub(super) info: TensorInfo,
    rows: Rows,
    is_gate: bool,
}

/// Experts are `[experts, outputs, inputs]` here and `[experts, inputs, outputs]` in a dequantised checkpoint.
fn in_checkpoint_order(shape: &[usize]) -> Vec<usize> {
    match shape {
        [experts, outputs, inputs] => vec![*experts, *inputs, *outputs],
        other => other.to_vec(),
    }
}
