//! Writes a checkpoint with its products rounded to blocks, as a safetensors file that `safetensors.rs` reads back.
//!
//! Blocks are a tensor of U8 `[.., outputs, bytes of a row]` in ggml's layout; the file's metadata names the format of
//! each under [`format_key`]. All else is as the checkpoint has it, vectors in f32.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use bytemuck::cast_slice;
use safetensors::tensor::{Dtype, View};
use seed_kernels::cpu::Weights;

use super::{Keeping, Matrix, Shard, StorageDType, WeightError, WeightSource};

/// Where a file's metadata has the format of a tensor of blocks.
pub(super) fn format_key(tensor: &str) -> String {
    format!("seed.blocks.{tensor}")
}

/// How one tensor is written.
enum Form {
    /// A matrix of plain elements, or one rounded to blocks.
    Matrix,
    /// Matrices of experts, rounded to blocks.
    Experts,
    /// Codes (true) or scales of packed experts under this name.
    Packed(String, bool),
    Vector,
}

/// A tensor that is made when it is written, so that one at a time is in memory.
struct Piece<'a> {
    source: &'a dyn WeightSource,
    keeping: Keeping,
    name: String,
    form: Form,
    dtype: Dtype,
    shape: Vec<usize>,
    failed: &'a RefCell<Option<WeightError>>,
}

fn plain(dtype: &str) -> Option<Dtype> {
    match dtype {
        "F32" => Some(Dtype::F32),
        "F16" => Some(Dtype::F16),
        "BF16" => Some(Dtype::BF16),
        _ => None,
    }
}

fn size(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        _ => 1,
    }
}

fn bytes(matrix: &Matrix) -> Vec<u8> {
    match matrix.weights() {
        Weights::F32(values) => cast_slice(values).to_vec(),
        Weights::F16(values) => cast_slice(values).to_vec(),
        Weights::Bf16(values) => cast_slice(values).to_vec(),
        Weights::Mxfp4 { blocks, .. } => blocks.to_vec(),
        Weights::Blocks { bytes, .. } => bytes.to_vec(),
    }
}

impl<'a> Piece<'a> {
    /// How a tensor will be written, with the name of its format where it is rounded.
    fn of(
        source: &'a dyn WeightSource,
        keeping: Keeping,
        name: &str,
        failed: &'a RefCell<Option<WeightError>>,
    ) -> Result<(Self, Option<&'static str>), WeightError> {
        let info = source.info(name).ok_or_else(|| {
            WeightError::new(source.origin(), format!("tensor {name} is missing"))
        })?;
        let refuse = |why: &str| WeightError::new(&info.file, format!("tensor {name} {why}"));
        let mut piece = Self {
            source,
            keeping,
            name: name.into(),
            form: Form::Vector,
            dtype: Dtype::F32,
            shape: info.shape.clone(),
            failed,
        };
        for (end, codes) in [("_blocks", true), ("_scales", false)] {
            if let Some(stem) = name.strip_suffix(end) {
                piece.form = Form::Packed(stem.into(), codes);
                piece.dtype = Dtype::U8;
                return Ok((piece, None));
            }
        }
        let (outputs, inputs, form) = match info.shape[..] {
            _ if name.ends_with("bias") => return Ok((piece, None)),
            [rows, cols] => (rows, cols, Form::Matrix),
            [_, inputs, outputs] => (outputs, inputs, Form::Experts),
            _ => return Ok((piece, None)),
        };
        let own = plain(&info.dtype).ok_or_else(|| refuse("is in blocks already"))?;
        let target = keeping.target_of(name, inputs);
        match (target, &form) {
            (Some(StorageDType::Blocks(format)), _) => {
                piece.dtype = Dtype::U8;
                let row = format.row_bytes(inputs);
                match info.shape.first() {
                    Some(&experts) if matches!(form, Form::Experts) => {
                        piece.shape = vec![experts, outputs, row];
                    }
                    _ => piece.shape = vec![outputs, row],
                }
                piece.form = form;
                Ok((piece, Some(format.name())))
            }
            (None, Form::Matrix) => {
                piece.dtype = own;
                piece.form = form;
                Ok((piece, None))
            }
            _ => Err(refuse("has rows that are no whole blocks")),
        }
    }

    fn made(&self) -> Result<Vec<u8>, WeightError> {
        let keep = |matrix: Matrix| bytes(&self.keeping.keep(&self.name, matrix));
        match &self.form {
            Form::Matrix => {
                let matrix = self.source.matrix(&self.name, Shard::Whole)?;
                let made = keep(matrix.clone());
                matrix.release();
                Ok(made)
            }
            Form::Experts => {
                let experts = self.source.experts(&self.name)?;
                Ok(experts.into_iter().flat_map(keep).collect())
            }
            Form::Packed(stem, codes) => {
                let mut all = Vec::new();
                for expert in self.source.packed_experts(stem)? {
                    if let Weights::Mxfp4 { blocks, scales } = expert.weights() {
                        all.extend_from_slice(if *codes { blocks } else { scales });
                    }
                }
                Ok(all)
            }
            Form::Vector => {
                let values = self.source.vector(&self.name, Shard::Whole)?;
                Ok(cast_slice(&values).to_vec())
            }
        }
    }
}

impl View for Piece<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let made = self.made().unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            Vec::new()
        });
        Cow::Owned(made)
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size(self.dtype)
    }
}

/// Writes all tensors of a source as `file`, its products rounded as `keeping` says.
pub fn rewrite(
    source: &dyn WeightSource,
    keeping: Keeping,
    file: &Path,
) -> Result<(), WeightError> {
    let failed = RefCell::new(None);
    let mut pieces = Vec::new();
    let mut formats = HashMap::from([("format".to_string(), "pt".to_string())]);
    for name in source.names() {
        let (piece, format) = Piece::of(source, keeping, name, &failed)?;
        if let Some(format) = format {
            formats.insert(format_key(name), format.into());
        }
        pieces.push((name, piece));
    }
    let written = safetensors::serialize_to_file(pieces, Some(formats), file);
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    written.map_err(|e| WeightError::new(file, format!("cannot be written: {e}")))
}
