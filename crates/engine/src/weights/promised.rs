//! The tensors a config promises, for planning where no weights are: sizes are known, bytes are not. The loader's plan
//! asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Expected, Matrix, Shard, StorageDType, TensorInfo, WeightError, WeightSource};

/// Tensors without bytes.
pub struct Promised {
    file: PathBuf,
    tensors: BTreeMap<String, TensorInfo>,
    total: u64,
}

impl Promised {
    /// All that `expected` names; `dtype` is the type of what is not packed. `file` is to blame.
    pub fn new(file: &Path, expected: &Expected, dtype: StorageDType) -> Self {
        let (name, size) = match dtype {
            StorageDType::F32 => ("F32", 4),
            StorageDType::F16 => ("F16", 2),
            _ => ("BF16", 2),
        };
        let mut total = 0u64;
        let mut tensors = BTreeMap::new();
        let all = expected
            .plain()
            .map(|tensor| (tensor, name, size))
            .chain(expected.bytes().map(|tensor| (tensor, "U8", 1)));
        for ((tensor, shape), dtype, size) in all {
            let bytes = shape
                .iter()
                .fold(size, |all: u64, &one| all.saturating_mul(one as u64));
            total = total.saturating_add(bytes);
            let info = TensorInfo {
                dtype: dtype.into(),
                shape: shape.clone(),
                file: file.to_path_buf(),
            };
            tensors.insert(tensor.clone(), info);
        }
        Self {
            file: file.to_path_buf(),
            tensors,
            total,
        }
    }

    fn absent(&self, name: &str) -> WeightError {
        WeightError::new(
            &self.file,
            format!("promises tensor {name}, but the weights are not here"),
        )
    }
}

impl WeightSource for Promised {
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn matrix(&self, name: &str, _: Shard) -> Result<Matrix, WeightError> {
        Err(self.absent(name))
    }

    fn vector(&self, name: &str, _: Shard) -> Result<Vec<f32>, WeightError> {
        Err(self.absent(name))
    }

    fn experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        Err(self.absent(name))
    }

    fn packed_experts(&self, name: &str) -> Result<Vec<Matrix>, WeightError> {
        Err(self.absent(name))
    }

    fn total_bytes(&self) -> u64 {
        self.total
    }

    fn origin(&self) -> PathBuf {
        self.file.clone()
    }
}
