//! GGUF files, one or split: mapped, headers checked before a tensor is read, tensors under Hugging Face's names.
//! `engine/load.rs` opens them beside safetensors folders.

mod config;
mod entries;
mod header;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde_json::Value;

use self::config::Facts;
use self::entries::{Entry, Parts, interleaved, place};
use self::header::{Header, Metadata};
use super::apart::owned;
use super::pages::release;
use super::source::part;
use super::{Matrix, Shard, StorageDType, TensorInfo, WeightError, WeightSource};

/// Most files a split model may have.
const MAX_SPLITS: u64 = 4096;

/// An opened GGUF model: every header read and checked, no tensor touched.
pub struct GgufFile {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    total: u64,
    config: Value,
    metadata: Metadata,
    tokenizer_config: Value,
    generation_config: Value,
}

impl GgufFile {
    /// Opens a file, and the others of its split where it is the first of one.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let (map, first) = open_one(path)?;
        let mut files = vec![(path.to_path_buf(), map, first.tensors)];
        for other in splits(path, &first.metadata)? {
            let (map, header) = open_one(&other)?;
            files.push((other, map, header.tensors));
        }
        let metadata = first.metadata;
        let mut halves = BTreeMap::new();
        let mut entries = BTreeMap::new();
        let mut total = 0;
        let mut names = BTreeSet::new();
        for (file, map, tensors) in &files {
            for tensor in tensors {
                if !names.insert(tensor.name.clone()) {
                    return Err(WeightError::new(
                        file,
                        format!("holds tensor {}, which the model has already", tensor.name),
                    ));
                }
                total += tensor.len as u64;
                place(file, map, tensor, &mut entries, &mut halves)?;
            }
        }
        if let Some((name, half)) = halves.into_iter().next() {
            return Err(WeightError::new(
                &half.info.file,
                format!("holds one half of {name}: gates and ups of the experts belong together"),
            ));
        }
        let facts = Facts {
            file: path,
            metadata: &metadata,
            holds: &|name| names.contains(name),
        };
        Ok(Self {
            config: facts.config()?,
            tokenizer_config: facts.tokenizer_config()?,
            generation_config: facts.generation_config(),
            path: path.to_path_buf(),
            entries,
            total,
            metadata,
        })
    }

    /// What config.json would say.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// What tokenizer.json would say; put together when asked, since planning needs none.
    pub fn tokenizer(&self) -> Result<Value, WeightError> {
        let facts = Facts {
            file: &self.path,
            metadata: &self.metadata,
            holds: &|name| self.entries.contains_key(name),
        };
        facts.tokenizer()
    }

    /// What tokenizer_config.json would say.
    pub fn tokenizer_config(&self) -> &Value {
        &self.tokenizer_config
    }

    /// What generation_config.json would say.
    pub fn generation_config(&self) -> &Value {
        &self.generation_config
    }

    fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
        self.entries
            .get(name)
            .ok_or_else(|| WeightError::new(&self.path, format!("tensor {name} is missing")))
    }
}

fn open_one(path: &Path) -> Result<(Arc<Mmap>, Header), WeightError> {
    let file =
        File::open(path).map_err(|e| WeightError::new(path, format!("cannot be opened: {e}")))?;
    // SAFETY: the map is read-only. A file truncated by another process while mapped would raise SIGBUS, as for
    // every server that maps its weights; checkpoints are not rewritten in place.
    let map = unsafe { Mmap::map(&file) }
        .map_err(|e| WeightError::new(path, format!("cannot be mapped: {e}")))?;
    let header = Header::read(path, &map)?;
    Ok((Arc::new(map), header))
}

/// The other files of a split model, by the names llama.cpp gives them: `NAME-00001-of-00003.gguf`.
fn splits(path: &Path, metadata: &Metadata) -> Result<Vec<PathBuf>, WeightError> {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    let count = number("split.count");
    if count <= 1 {
        return Ok(Vec::new());
    }
    if count > MAX_SPLITS || number("split.no") != 0 {
        return Err(WeightError::new(
            path,
            format!("is one of {count} parts of a model; give the first one"),
        ));
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    let stem = name
        .strip_suffix(&format!("-00001-of-{count:05}.gguf"))
        .ok_or_else(|| {
            WeightError::new(
                path,
                format!("is the first of {count} parts and must be named NAME-00001-of-{count:05}.gguf for the others to be found"),
            )
        })?;
    Ok((2..=count)
        .map(|n| path.with_file_name(format!("{stem}-{n:05}-of-{count:05}.gguf")))
        .collect())
}

impl WeightSource for GgufFile {
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.entries.get(name).map(|e| &e.info)
    }

    fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    fn matrix(&self, name: &str, shard: Shard) -> Result<Matrix, WeightError> {
        let entry = self.entry(name)?;
        let error = |reason: String| WeightError::new(&entry.info.file, reason);
        let (Parts::Whole(all), [rows, cols]) = (&entry.parts, &entry.info.shape[..]) else {
            return Err(error(format!(
                "tensor {name} has shape {:?}, not two dimensions",
                entry.info.shape
            )));
        };
        let uneven = || {
            error(format!(
                "tensor {name} cannot be shared evenly by so many ranks"
            ))
        };
        let dtype = all.dtype();
        match shard {
            Shard::Columns { rank, world } if world > 1 => {
                let (_, blocks) = all.kind.block();
                let (first, count) =
                    part(all.row_bytes / blocks, rank, world).ok_or_else(uneven)?;
                let parts = (0..*rows)
                    .map(|row| &all.row(0, row)[first * blocks..(first + count) * blocks]);
                Ok(owned(parts, dtype, *rows, cols / world))
            }
            Shard::Whole | Shard::Rows { .. } | Shard::Columns { .. } => {
                let (first, count) = match shard {
                    Shard::Rows { rank, world } => part(*rows, rank, world).ok_or_else(uneven)?,
                    _ => (0, *rows),
                };
                let range = all.range(0, first..first + count);
                let mapped = match dtype {
                    StorageDType::Mxfp4 => {
                        let part = (Arc::clone(&all.map), range.clone());
                        Matrix::apart(vec![part], dtype, count, *cols)
                    }
                    _ => Matrix::mapped(Arc::clone(&all.map), range.clone(), dtype, count, *cols),
                };
                Ok(mapped.unwrap_or_else(|| {
                    let rows = all.map[range.clone()].chunks_exact(all.row_bytes);
                    let copied = owned(rows, dtype, count, *cols);
                    release(&all.map, &range);
                    copied
                }))
            }
        }
    }

    fn vector(&self, name: &str, shard: Shard) -> Result<Vec<f32>, WeightError> {
        let entry = self.entry(name)?;
        let error = |reason: String| WeightError::new(&entry.info.file, reason);
        let (rows, bytes) = match &entry.parts {
            Parts::Whole(all) => (all, all.map[all.range(0, 0..all.rows)].to_vec()),
            Parts::GateUp(gate, up) => {
                let experts = entry.info.shape[0];
                let bytes = (0..experts)
                    .flat_map(|e| interleaved(gate, up, e))
                    .flatten()
                    .copied()
                    .collect();
                (gate, bytes)
            }
        };
        let dtype = rows.dtype();
        if !matches!(
            dtype,
            StorageDType::F32 | StorageDType::F16 | StorageDType::Bf16
        ) {
            return Err(error(format!(
                "tensor {name} has type {}; F32, F16 and BF16 are supported",
                entry.info.dtype
            )));
        }
        let len = bytes.len() / dtype.bytes(1);
        let (first, count) = match shard {
            Shard::Rows { rank, world } => part(len, rank, world).ok_or_else(|| {
                error(format!(
                    "tensor {name} cannot be shared evenly by so many ranks"
                ))
            })?,
            Shard::Whole | Shard::Columns { .. } => (0, len),
        };
        let bytes = &bytes[first * dtype.bytes(1)..(first + count) * dtype.bytes(1)];
        let wide = Matrix::copied(bytes, dtype, 1, count).converted(StorageDType::F32);
        match wide.weights() {
            seed_kernels::cpu::Weights::F32(values) => Ok(values.to_vec()),
            _ => Ok(Vec::new()),
        }
    }

    fn experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        let entry = self.entry(name)?;
        let [experts, cols, rows] = entry.info.shape[..] else {
            return Err(WeightError::new(
                &entry.info.file,
                format!(
                    "tensor {name} has shape {:?}, not three dimensions",
                    entry.info.shape
                ),
            ));
        };
        let one = |expert: usize| {
            let (first, parts) = match &entry.parts {
                Parts::GateUp(gate, up) => (gate, vec![gate, up]),
                Parts::Whole(all) => (all, vec![all]),
            };
            let parts = parts.into_iter().map(|part| {
                let range = part.range(expert, 0..part.rows);
                (Arc::clone(&part.map), range)
            });
            Matrix::apart(parts.collect(), first.dtype(), rows, cols)
        };
        let all = (0..experts).map(one).collect::<Option<_>>();
        all.ok_or_else(|| {
            let reason = format!("tensor {name} has rows of another length than its shape says");
            WeightError::new(&entry.info.file, reason)
        })
    }

    fn packed_experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        Err(WeightError::new(
            &self.path,
            format!("tensor {name}_blocks is missing: GGUF keeps codes and scales together"),
        ))
    }

    fn total_bytes(&self) -> u64 {
        self.total
    }

    fn origin(&self) -> PathBuf {
        self.path.clone()
    }
}
