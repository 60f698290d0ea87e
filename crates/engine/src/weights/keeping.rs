//! How a model's matrices are kept in memory: as the checkpoint has them, converted, quantised, laid out for products with
//! eight-bit activations. `model/reader.rs` asks for each matrix, the memory plan for their bytes.

use seed_kernels::cpu::{BlockFormat, tiled_bytes};

use super::{Matrix, StorageDType, TensorInfo};

/// What an operator wants of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Type of plain matrices; none keeps the checkpoint's own.
    pub dtype: Option<StorageDType>,
    /// Blocks that plain matrices of products are rounded to.
    pub quantize: Option<StorageDType>,
    /// Products round their activations, with quantised matrices to eight bits, with bf16 ones to bf16 where that is
    /// faster. Else they are exact in f32, and slower.
    pub rounds: bool,
}

impl From<Option<StorageDType>> for Keeping {
    fn from(dtype: Option<StorageDType>) -> Self {
        Self {
            dtype,
            ..Self::default()
        }
    }
}

/// What a matrix is for, which decides how far it may be rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Rows are looked up, or few numbers decide much: the embedding, a router.
    Exact,
    /// Logits: eight bits at least.
    Head,
    /// All else.
    Product,
}

impl Purpose {
    /// By the name in the checkpoint.
    fn of(name: &str) -> Self {
        if name.contains("embed_tokens") || name.contains(".router.") {
            Self::Exact
        } else if name.starts_with("lm_head") {
            Self::Head
        } else {
            Self::Product
        }
    }
}

impl Keeping {
    /// What a plain matrix becomes; rows that are no whole blocks take a format with shorter ones, or stay.
    fn target(&self, purpose: Purpose, cols: usize) -> Option<StorageDType> {
        let wanted = match (purpose, self.quantize?) {
            (Purpose::Exact, _) => return None,
            (Purpose::Head, _) => StorageDType::Blocks(BlockFormat::Q8_0),
            (Purpose::Product, wanted) => wanted,
        };
        let shorter = match wanted {
            StorageDType::Blocks(BlockFormat::Q4_K) => StorageDType::Blocks(BlockFormat::Q4_0),
            StorageDType::Blocks(BlockFormat::Q6_K) => StorageDType::Blocks(BlockFormat::Q8_0),
            other => other,
        };
        [wanted, shorter]
            .into_iter()
            .find(|dtype| cols > 1 && cols.is_multiple_of(dtype.block()))
    }

    /// The same for the matrix of this name.
    pub(super) fn target_of(&self, name: &str, cols: usize) -> Option<StorageDType> {
        self.target(Purpose::of(name), cols)
    }

    /// Whether products with the matrix of this name round their activations.
    pub(crate) fn rounds_for(&self, name: &str) -> bool {
        self.rounds && Purpose::of(name) != Purpose::Exact
    }

    /// The matrix of this name as it is kept.
    pub(crate) fn keep(&self, name: &str, matrix: Matrix) -> Matrix {
        if let Some(target) = self.target_of(name, matrix.cols()) {
            return matrix.quantised(target);
        }
        match self.dtype {
            Some(dtype) => matrix.converted(dtype),
            None => matrix,
        }
    }

    /// Bytes that a tensor of the checkpoint will take.
    pub fn bytes(&self, name: &str, info: &TensorInfo) -> u64 {
        let elements = info.shape.iter().product::<usize>();
        let own = match info.dtype.as_str() {
            // Packed blocks and scales stay as they are.
            "U8" => return elements as u64,
            "F32" => StorageDType::F32,
            "F16" => StorageDType::F16,
            "MXFP4" => StorageDType::Mxfp4,
            other => StorageDType::blocks(other).unwrap_or(StorageDType::Bf16),
        };
        let is_plain = own.block() == 1;
        let cols = match info.shape[..] {
            // Biases of all experts, and other vectors.
            _ if name.ends_with("bias") => 1,
            [_, cols] => cols,
            // Experts are `[experts, inputs, outputs]`.
            [_, inputs, _] => inputs,
            _ => 1,
        };
        let kept = match self.target_of(name, cols) {
            Some(target) if is_plain => target,
            _ if is_plain => self.dtype.unwrap_or(own),
            _ => own,
        };
        let rows = elements / cols.max(1);
        let tiled = match kept {
            StorageDType::Blocks(format) if self.rounds_for(name) => {
                tiled_bytes(format, rows, cols)
            }
            _ => None,
        };
        tiled.unwrap_or_else(|| kept.bytes(elements)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(dtype: &str, shape: &[usize]) -> TensorInfo {
        TensorInfo {
            dtype: dtype.into(),
            shape: shape.to_vec(),
            file: "x".into(),
        }
    }

    #[test]
    fn rules_by_name_and_width() {
        let q4k = Keeping {
            quantize: Some(StorageDType::Blocks(BlockFormat::Q4_K)),
            ..Keeping::default()
        };
        let rows = |name: &str, cols: usize| q4k.bytes(name, &info("BF16", &[10, cols])) / 10;
        assert_eq!(rows("model.layers.0.mlp.up_proj.weight", 512), 2 * 144);
        assert_eq!(rows("model.layers.0.mlp.up_proj.weight", 96), 3 * 18);
        assert_eq!(rows("model.layers.0.mlp.up_proj.weight", 40), 80);
        assert_eq!(rows("lm_head.weight", 512), 16 * 34);
        assert_eq!(rows("model.embed_tokens.weight", 512), 1024);
        assert_eq!(rows("model.layers.0.mlp.router.weight", 512), 1024);
        assert_eq!(q4k.bytes("norm", &info("BF16", &[512])), 1024);
        let bias = info("BF16", &[10, 512]);
        assert_eq!(q4k.bytes("mlp.experts.down_proj_bias", &bias), 10_240);
        let blocks = info("U8", &[4, 10, 3, 16]);
        assert_eq!(q4k.bytes("experts_blocks", &blocks), 4 * 10 * 3 * 16);
        let own = info("Q6_K", &[10, 512]);
        assert_eq!(q4k.bytes("model.layers.0.mlp.up_proj.weight", &own), 4200);
        // Tiles are of sixteen rows; five-bit codes become octets in them.
        let tiles = Keeping {
            rounds: true,
            ..q4k
        };
        let five = info("Q5_0", &[20, 64]);
        assert_eq!(q4k.bytes("x.weight", &five), 20 * 2 * 22);
        assert_eq!(tiles.bytes("x.weight", &five), 32 * 2 * 34);
        let f32s = Keeping::from(Some(StorageDType::F32));
        assert_eq!(f32s.bytes("lm_head.weight", &info("BF16", &[2, 8])), 64);
    }
}
