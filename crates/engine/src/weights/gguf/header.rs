//! Reads the header of one GGUF file: its metadata and where its tensors lie. `GgufFile` calls it for each part of a
//! split model. Every count, length and product is checked against the file before anything is allocated.
//!
//! Source: ggml docs `gguf.md` (version 2 and 3, little-endian).

use std::collections::BTreeMap;
use std::path::Path;

use seed_kernels::cpu::BlockFormat;
use serde_json::{Number, Value};

use crate::weights::WeightError;

/// Metadata by key. Arrays and numbers are JSON's own, so that configs and tokenizers are read by the same code as
/// from Hugging Face's files.
pub type Metadata = BTreeMap<String, Value>;

const MAGIC: &[u8] = b"GGUF";
const MAX_KEYS: u64 = 65_536;
const MAX_TENSORS: u64 = 1 << 20;
const MAX_DIMENSIONS: u32 = 4;
/// Arrays may hold arrays, but nobody needs them deeper.
const MAX_NESTING: u32 = 4;

/// Element types, by ggml's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgmlType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// OCP MXFP4: a power-of-two scale and 32 four-bit codes.
    Mxfp4,
    /// One of ggml's quantised formats.
    Blocks(BlockFormat),
}

/// Names of the types that are not read here.
const FOREIGN: [(u32, &str); 8] = [
    (10, "Q2_K"),
    (11, "Q3_K"),
    (16, "IQ2_XXS"),
    (18, "IQ3_XXS"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
];

impl GgmlType {
    fn of(number: u32) -> Result<Self, String> {
        match number {
            0 => Ok(Self::F32),
            1 => Ok(Self::F16),
            30 => Ok(Self::Bf16),
            39 => Ok(Self::Mxfp4),
            2 => Ok(Self::Blocks(BlockFormat::Q4_0)),
            3 => Ok(Self::Blocks(BlockFormat::Q4_1)),
            6 => Ok(Self::Blocks(BlockFormat::Q5_0)),
            7 => Ok(Self::Blocks(BlockFormat::Q5_1)),
            8 => Ok(Self::Blocks(BlockFormat::Q8_0)),
            12 => Ok(Self::Blocks(BlockFormat::Q4_K)),
            13 => Ok(Self::Blocks(BlockFormat::Q5_K)),
            14 => Ok(Self::Blocks(BlockFormat::Q6_K)),
            _ => Err(FOREIGN
                .iter()
                .find(|(n, _)| *n == number)
                .map_or_else(|| format!("ggml type {number}"), |(_, name)| (*name).into())),
        }
    }

    /// Values in a block, and the block's bytes.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Mxfp4 => (32, 17),
            Self::Blocks(format) => (format.elements(), format.bytes()),
        }
    }

    /// The name people know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Mxfp4 => "MXFP4",
            Self::Blocks(format) => format.name(),
        }
    }
}

/// Where one tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlace {
    /// Name in the file.
    pub name: String,
    /// Dimensions, outermost first (the file has them innermost first).
    pub shape: Vec<usize>,
    /// Element type.
    pub kind: GgmlType,
    /// First byte in the file.
    pub start: usize,
    /// Bytes.
    pub len: usize,
}

/// What a header says.
#[derive(Debug)]
pub struct Header {
    /// Metadata by key.
    pub metadata: Metadata,
    /// Tensors in the file's order.
    pub tensors: Vec<TensorPlace>,
}

impl Header {
    /// Reads the header from all bytes of a file.
    pub fn read(file: &Path, bytes: &[u8]) -> Result<Self, WeightError> {
        let mut reader = Reader { file, bytes, at: 0 };
        if reader.take(4)? != MAGIC {
            return Err(reader.error("is no GGUF file: it does not start with GGUF"));
        }
        let version = reader.u32()?;
        if version != 2 && version != 3 {
            return Err(reader.error(format!(
                "is GGUF version {version}; 2 and 3 are supported (big-endian files are not)"
            )));
        }
        let tensors = reader.count(MAX_TENSORS, "tensors")?;
        let keys = reader.count(MAX_KEYS, "metadata keys")?;
        let mut metadata = Metadata::new();
        for _ in 0..keys {
            let key = reader.string()?;
            let kind = reader.u32()?;
            let value = reader.value(kind, 0)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(reader.error(format!("has metadata key {key} twice")));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(value) => value
                .as_u64()
                .filter(|n| n.is_power_of_two() && *n <= 1 << 20)
                .ok_or_else(|| {
                    reader.error(format!("has general.alignment {value}, no power of two"))
                })?,
        };
        let mut places = Vec::new();
        for _ in 0..tensors {
            places.push(reader.tensor()?);
        }
        let data = reader.at.next_multiple_of(alignment as usize);
        let tensors = places
            .into_iter()
            .map(|place| reader.placed(place, data, alignment))
            .collect::<Result<_, _>>()?;
        Ok(Self { metadata, tensors })
    }
}

struct Unplaced {
    name: String,
    shape: Vec<u64>,
    kind: GgmlType,
    offset: u64,
}

struct Reader<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: impl Into<String>) -> WeightError {
        WeightError::new(self.file, reason)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WeightError> {
        let part = self
            .at
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or_else(|| {
                self.error("ends inside its header; the download is incomplete or it is damaged")
            })?;
        self.at += len;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, WeightError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, WeightError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self, most: u64, what: &str) -> Result<u64, WeightError> {
        let count = self.u64()?;
        if count > most {
            return Err(self.error(format!("claims {count} {what}; at most {most} are read")));
        }
        Ok(count)
    }

    fn string(&mut self) -> Result<String, WeightError> {
        let len = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        let bytes = self.take(len)?;
        // Old tokenizers hold single bytes of characters; they stay apart from all valid text.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn float(&self, value: f64) -> Result<Value, WeightError> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.error("holds a number that is not finite in its metadata"))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, WeightError> {
        Ok(match kind {
            0 => u8::from_le_bytes(self.array()?).into(),
            1 => i8::from_le_bytes(self.array()?).into(),
            2 => u16::from_le_bytes(self.array()?).into(),
            3 => i16::from_le_bytes(self.array()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.array()?).into(),
            6 => {
                let narrow = f32::from_le_bytes(self.array()?);
                // The shortest decimal that means the same f32: 1e-5 stays 0.00001 and no 9.99999e-6.
                let wide = narrow.to_string().parse().unwrap_or(f64::from(narrow));
                self.float(wide)?
            }
            7 => (self.array::<1>()? != [0]).into(),
            8 => self.string()?.into(),
            9 => {
                if depth == MAX_NESTING {
                    return Err(self.error("nests arrays too deeply in its metadata"));
                }
                let inner = self.u32()?;
                let len = self.u64()?;
                // Each element takes at least a byte, so that a claimed length cannot ask for more than the file.
                if len > (self.bytes.len() - self.at) as u64 {
                    return Err(self.error(format!(
                        "claims an array of {len} values, more than the file has bytes"
                    )));
                }
                let mut list = Vec::new();
                for _ in 0..len {
                    list.push(self.value(inner, depth + 1)?);
                }
                Value::Array(list)
            }
            10 => self.u64()?.into(),
            11 => i64::from_le_bytes(self.array()?).into(),
            12 => {
                let value = f64::from_le_bytes(self.array()?);
                self.float(value)?
            }
            other => return Err(self.error(format!("has metadata of unknown type {other}"))),
        })
    }

    fn tensor(&mut self) -> Result<Unplaced, WeightError> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > MAX_DIMENSIONS {
            return Err(self.error(format!(
                "gives tensor {name} {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        shape.reverse();
        let kind = GgmlType::of(self.u32()?).map_err(|kind| {
            self.error(format!(
                "holds tensor {name} as {kind}; F32, F16, BF16, MXFP4 and {} are supported",
                BlockFormat::ALL.map(BlockFormat::name).join(", ")
            ))
        })?;
        let offset = self.u64()?;
        Ok(Unplaced {
            name,
            shape,
            kind,
            offset,
        })
    }

    fn placed(
        &self,
        tensor: Unplaced,
        data: usize,
        alignment: u64,
    ) -> Result<TensorPlace, WeightError> {
        let Unplaced {
            name,
            shape,
            kind,
            offset,
        } = tensor;
        let (values, size) = kind.block();
        let (values, size) = (values as u64, size as u64);
        let whole = shape.last().is_some_and(|&cols| cols % values == 0);
        let len = shape
            .iter()
            .try_fold(1u64, |product, &d| product.checked_mul(d))
            .filter(|&n| whole && n > 0)
            .and_then(|elements| (elements / values).checked_mul(size));
        let range = len.and_then(|len| {
            let start = u64::try_from(data).ok()?.checked_add(offset)?;
            let end = start.checked_add(len)?;
            (offset.is_multiple_of(alignment) && end <= self.bytes.len() as u64)
                .then_some((start as usize, len as usize))
        });
        let Some((start, len)) = range else {
            return Err(self.error(format!(
                "places tensor {name} with shape {shape:?} as {} outside the file's {} bytes; the download is incomplete or it is damaged",
                kind.name(),
                self.bytes.len()
            )));
        };
        Ok(TensorPlace {
            name,
            shape: shape.into_iter().map(|d| d as usize).collect(),
            kind,
            start,
            len,
        })
    }
}
