//! The tensors of one safetensors file: mapped, its header checked. `safetensors.rs` makes folders of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors};

use super::rewrite::format_key;
use super::{StorageDType, TensorInfo, WeightError};

/// What a clone without Git LFS has in place of a large file.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// One of them.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) info: TensorInfo,
    dtype: Dtype,
    /// Set where its bytes are blocks.
    pub(super) blocks: Option<StorageDType>,
    pub(super) map: Arc<Mmap>,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// Maps a file, checks its header and enters its tensors.
pub(super) fn open_file(
    path: &Path,
    entries: &mut BTreeMap<String, Entry>,
) -> Result<(), WeightError> {
    let file =
        File::open(path).map_err(|e| WeightError::new(path, format!("cannot be opened: {e}")))?;
    // SAFETY: the map is read-only. A file truncated by another process while mapped would raise SIGBUS, as for
    // every server that maps its weights; checkpoints are not rewritten in place.
    let map = unsafe { Mmap::map(&file) }
        .map_err(|e| WeightError::new(path, format!("cannot be mapped: {e}")))?;
    if map.starts_with(LFS_POINTER) {
        return Err(WeightError::new(
            path,
            "is a Git LFS pointer, not the weights; run \"git lfs pull\" in the folder",
        ));
    }
    let (header, metadata) = SafeTensors::read_metadata(&map)
        .map_err(|e| WeightError::new(path, format!("is no valid safetensors file: {e}")))?;
    let expected = 8usize
        .checked_add(header)
        .and_then(|n| n.checked_add(metadata.data_len()));
    if expected != Some(map.len()) {
        return Err(WeightError::new(
            path,
            format!(
                "is {} bytes long, but its header describes {}; the download is incomplete",
                map.len(),
                expected.map_or("an impossible number".into(), |n| n.to_string())
            ),
        ));
    }
    let map = Arc::new(map);
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let format = metadata
            .metadata()
            .as_ref()
            .and_then(|named| named.get(&format_key(&name)));
        let (dtype, shape, blocks) = match format {
            Some(format) => blocks_of(path, &name, format, &info.shape)?,
            None => (format!("{:?}", info.dtype), info.shape.clone(), None),
        };
        let entry = Entry {
            info: TensorInfo {
                dtype,
                shape,
                file: path.to_path_buf(),
            },
            dtype: info.dtype,
            blocks,
            map: Arc::clone(&map),
            start: 8 + header + start,
            len: end - start,
        };
        if let Some(earlier) = entries.insert(name.clone(), entry) {
            return Err(WeightError::new(
                path,
                format!(
                    "holds tensor {name}, which {} holds too",
                    earlier.info.file.display()
                ),
            ));
        }
    }
    Ok(())
}

/// What a tensor of blocks stands for: its type, its shape in values as plain ones have it, and its format.
fn blocks_of(
    path: &Path,
    name: &str,
    format: &str,
    shape: &[usize],
) -> Result<(String, Vec<usize>, Option<StorageDType>), WeightError> {
    let whole = |row: usize, blocks: StorageDType| {
        let size = blocks.bytes(blocks.block());
        row.is_multiple_of(size)
            .then(|| row / size * blocks.block())
    };
    let values = StorageDType::blocks(format).and_then(|blocks| match shape[..] {
        [rows, row] => Some((vec![rows, whole(row, blocks)?], blocks)),
        [experts, outputs, row] => Some((vec![experts, whole(row, blocks)?, outputs], blocks)),
        _ => None,
    });
    let (shape, blocks) = values.ok_or_else(|| {
        WeightError::new(
            path,
            format!("says that tensor {name} of shape {shape:?} is {format}, which it cannot be"),
        )
    })?;
    Ok((format.into(), shape, Some(blocks)))
}

impl Entry {
    /// Stretches of rows, which together are all of them.
    pub(super) fn cut(&self, name: &str, rows: [usize; 3]) -> Result<[Self; 3], WeightError> {
        let total = rows.into_iter().fold(0, usize::saturating_add);
        if self.info.shape.first() != Some(&total) {
            return Err(WeightError::new(
                &self.info.file,
                format!(
                    "tensor {name} has shape {:?}, but config.json says {total} rows",
                    self.info.shape
                ),
            ));
        }
        let row = self.len / total;
        let mut start = self.start;
        Ok(rows.map(|rows| {
            let mut part = self.clone();
            part.info.shape[0] = rows;
            part.start = start;
            part.len = rows * row;
            start += part.len;
            part
        }))
    }

    pub(super) fn storage_dtype(&self, name: &str) -> Result<StorageDType, WeightError> {
        if let Some(blocks) = self.blocks {
            return Ok(blocks);
        }
        match self.dtype {
            Dtype::F32 => Ok(StorageDType::F32),
            Dtype::F16 => Ok(StorageDType::F16),
            Dtype::BF16 => Ok(StorageDType::Bf16),
            other => Err(WeightError::new(
                &self.info.file,
                format!("tensor {name} has type {other:?}; bf16, f16 and f32 are supported"),
            )),
        }
    }

    pub(super) fn not_three(&self, name: &str) -> WeightError {
        WeightError::new(
            &self.info.file,
            format!(
                "tensor {name} has shape {:?}, not three dimensions",
                self.info.shape
            ),
        )
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }
}
