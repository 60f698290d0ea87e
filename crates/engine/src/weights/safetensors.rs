//! Safetensors folders, Hugging Face's (one file or shards with an index) and OpenAI's own of gpt-oss: mapped, headers
//! checked before a tensor is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::entry::{Entry, open_file};
use super::index::read_index;
use super::original::{Role, role};
use super::source::part;
use super::{Matrix, Shard, StorageDType, TensorInfo, WeightError, WeightSource};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// An opened folder: every header read and checked, no tensor touched.
pub struct SafetensorsFolder {
    /// To blame when something is missing altogether.
    origin: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl SafetensorsFolder {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    pub fn open(folder: &Path) -> Result<Self, WeightError> {
        let mut entries = BTreeMap::new();
        let index = folder.join(INDEX);
        let single = folder.join(SINGLE);
        let origin = if index.is_file() { &index } else { &single };
        if index.is_file() {
            let listed = read_index(&index)?;
            let files: BTreeSet<&String> = listed.values().collect();
            for file in files {
                open_file(&folder.join(file), &mut entries)?;
            }
            for (name, file) in &listed {
                let found = entries.get(name).ok_or_else(|| {
                    WeightError::new(
                        &index,
                        format!("lists tensor {name} in {file}, which does not hold it"),
                    )
                })?;
                if found.info.file != folder.join(file) {
                    return Err(WeightError::new(
                        &index,
                        format!("lists tensor {name} in {file}, but it lies in another shard"),
                    ));
                }
            }
        } else {
            if !single.is_file() {
                return Err(WeightError::new(
                    folder,
                    format!(
                        "holds neither {SINGLE} nor {INDEX}; give a folder of a safetensors checkpoint"
                    ),
                ));
            }
            open_file(&single, &mut entries)?;
        }
        Ok(Self {
            origin: origin.clone(),
            entries,
        })
    }

    /// Opens all safetensors files of a folder in OpenAI's own layout of gpt-oss. `queries` and `keys` are the rows
    /// that a layer's queries, and its keys or values, have.
    pub fn open_original(folder: &Path, queries: usize, keys: usize) -> Result<Self, WeightError> {
        let listed = std::fs::read_dir(folder)
            .map_err(|e| WeightError::new(folder, format!("cannot be listed: {e}")))?;
        let mut files: Vec<PathBuf> = listed
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(WeightError::new(folder, "holds no safetensors file"));
        }
        let mut theirs = BTreeMap::new();
        for file in &files {
            open_file(file, &mut theirs)?;
        }
        let mut entries = BTreeMap::new();
        for (name, entry) in theirs {
            match role(&name) {
                Some(Role::Whole(ours)) => {
                    entries.insert(ours, entry);
                }
                Some(Role::Fused(ours)) => {
                    let rows = [queries, keys, keys];
                    entries.extend(ours.into_iter().zip(entry.cut(&name, rows)?));
                }
                None => {
                    return Err(WeightError::new(
                        &entry.info.file,
                        format!("holds tensor {name}, which gpt-oss's own layout does not have"),
                    ));
                }
            }
        }
        Ok(Self {
            origin: folder.to_path_buf(),
            entries,
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
        self.entries
            .get(name)
            .ok_or_else(|| WeightError::new(self.origin(), format!("tensor {name} is missing")))
    }
}

impl WeightSource for SafetensorsFolder {
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.entries.get(name).map(|e| &e.info)
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    fn matrix(&self, name: &str, shard: Shard) -> Result<Matrix, WeightError> {
        let entry = self.entry(name)?;
        let dtype = entry.storage_dtype(name)?;
        let [rows, cols] = entry.info.shape[..] else {
            return Err(WeightError::new(
                &entry.info.file,
                format!(
                    "tensor {name} has shape {:?}, not two dimensions",
                    entry.info.shape
                ),
            ));
        };
        let unsplittable = |what: &str, n: usize, world: usize| {
            WeightError::new(
                &entry.info.file,
                format!("tensor {name} has {n} {what}, which {world} ranks cannot share evenly"),
            )
        };
        let row_bytes = dtype.bytes(cols);
        match shard {
            Shard::Columns { rank, world } if world > 1 => {
                let (first, count) = part(cols / dtype.block(), rank, world)
                    .ok_or_else(|| unsplittable("columns", cols, world))?;
                let (first, count) = (first * dtype.block(), count * dtype.block());
                let inner = dtype.bytes(first)..dtype.bytes(first + count);
                let bytes: Vec<u8> = entry
                    .bytes()
                    .chunks_exact(row_bytes)
                    .flat_map(|row| &row[inner.clone()])
                    .copied()
                    .collect();
                Ok(Matrix::copied(&bytes, dtype, rows, count))
            }
            Shard::Whole | Shard::Rows { .. } | Shard::Columns { .. } => {
                let (first, count) = match shard {
                    Shard::Rows { rank, world } => {
                        part(rows, rank, world).ok_or_else(|| unsplittable("rows", rows, world))?
                    }
                    _ => (0, rows),
                };
                let start = entry.start + first * row_bytes;
                let range = start..start + count * row_bytes;
                let mapped =
                    Matrix::mapped(Arc::clone(&entry.map), range.clone(), dtype, count, cols);
                Ok(mapped.unwrap_or_else(|| Matrix::copied(&entry.map[range], dtype, count, cols)))
            }
        }
    }

    fn vector(&self, name: &str, shard: Shard) -> Result<Vec<f32>, WeightError> {
        let entry = self.entry(name)?;
        let dtype = entry.storage_dtype(name)?;
        let len = entry.info.shape.iter().product::<usize>();
        let (first, count) = match shard {
            Shard::Rows { rank, world } => part(len, rank, world).ok_or_else(|| {
                WeightError::new(
                    &entry.info.file,
                    format!(
                        "tensor {name} has {len} values, which {world} ranks cannot share evenly"
                    ),
                )
            })?,
            Shard::Whole | Shard::Columns { .. } => (0, len),
        };
        let size = dtype.bytes(1);
        let bytes = &entry.bytes()[first * size..(first + count) * size];
        let wide = Matrix::copied(bytes, dtype, 1, count).converted(StorageDType::F32);
        match wide.weights() {
            seed_kernels::cpu::Weights::F32(values) => Ok(values.to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        let entry = self.entry(name)?;
        let dtype = entry.storage_dtype(name)?;
        let [experts, inputs, outputs] = entry.info.shape[..] else {
            return Err(entry.not_three(name));
        };
        let bytes = entry.bytes();
        if entry.blocks.is_some() {
            let size = dtype.bytes(inputs) * outputs;
            let one = |expert: usize| {
                let range = entry.start + expert * size..entry.start + (expert + 1) * size;
                let map = Arc::clone(&entry.map);
                let mapped = Matrix::mapped(map, range.clone(), dtype, outputs, inputs);
                mapped.unwrap_or_else(|| Matrix::copied(&entry.map[range], dtype, outputs, inputs))
            };
            return Ok((0..experts).map(one).collect());
        }
        let matrix = inputs * outputs;
        let size = dtype.bytes(1);
        let transposed = |expert: usize| {
            let from = &bytes[expert * matrix * size..(expert + 1) * matrix * size];
            let mut to = Vec::with_capacity(matrix * size);
            for output in 0..outputs {
                for input in 0..inputs {
                    let at = (input * outputs + output) * size;
                    to.extend_from_slice(&from[at..at + size]);
                }
            }
            Matrix::copied(&to, dtype, outputs, inputs)
        };
        Ok((0..experts).into_par_iter().map(transposed).collect())
    }

    fn packed_experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        let blocks = self.entry(&format!("{name}_blocks"))?;
        let scales = self.entry(&format!("{name}_scales"))?;
        let [experts, outputs, groups, 16] = blocks.info.shape[..] else {
            return Err(WeightError::new(
                &blocks.info.file,
                format!(
                    "tensor {name}_blocks has shape {:?}, not [experts, outputs, blocks, 16]",
                    blocks.info.shape
                ),
            ));
        };
        let part = |entry: &Entry, bytes: usize, expert: usize| {
            let start = entry.start + expert * bytes;
            (Arc::clone(&entry.map), start..start + bytes)
        };
        let matrix = |expert: usize| {
            Matrix::mxfp4(
                part(blocks, outputs * groups * 16, expert),
                part(scales, outputs * groups, expert),
                outputs,
                groups * 32,
            )
            .ok_or_else(|| {
                WeightError::new(
                    &scales.info.file,
                    format!("tensors of {name} do not fit together"),
                )
            })
        };
        (0..experts).map(matrix).collect()
    }

    fn total_bytes(&self) -> u64 {
        self.entries.values().map(|e| e.len as u64).sum()
    }

    fn origin(&self) -> PathBuf {
        self.origin.clone()
    }
}
