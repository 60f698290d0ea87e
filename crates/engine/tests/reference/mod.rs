//! Golden checkpoints and their reference logits, as both families' tests read them.
#![allow(dead_code)] // each test uses a part

use std::path::{Path, PathBuf};

use candle_core::Device;
use safetensors::SafeTensors;
use seed_engine::cache::storage::{KvDType, KvShape, KvStorage};
use seed_engine::model::{Batch, Geometry, Model, ModelConfig};
use seed_engine::weights::{Checkpoint, Keeping, SafetensorsFolder};

pub const PAGE: usize = 16;
/// Largest difference of a logit that f32 may show.
pub const BOUND: f32 = 2e-3;

/// A checkpoint with what the reference says of it.
pub struct Golden {
    pub model: Box<dyn Model>,
    pub geometry: Geometry,
    pub prompts: Vec<Prompt>,
    sampled: Vec<usize>,
}

/// One prompt with its reference logits.
pub struct Prompt {
    pub tokens: Vec<u32>,
    /// Logits of `sampled` ids at every position.
    pub rows: Vec<Vec<f32>>,
    /// All logits at the last position.
    pub last: Vec<f32>,
}

/// A folder of fixtures beside the tests.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn integers(bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

impl Golden {
    /// Reads the checkpoint in `folder` under `config`, and expected.safetensors beside it.
    pub fn open(folder: &Path, config: &ModelConfig, keeping: impl Into<Keeping>) -> Self {
        let source = SafetensorsFolder::open(folder).unwrap();
        let checkpoint = Checkpoint::check(&source, &config.expected()).unwrap();
        let model = config
            .load(&checkpoint, keeping, PAGE, &mut |_| Ok(()))
            .unwrap();
        let bytes = std::fs::read(folder.join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let sampled: Vec<usize> = integers(file.tensor("sampled_ids").unwrap().data())
            .into_iter()
            .map(|i| i as usize)
            .collect();
        let prompts = (0..)
            .take_while(|n| file.tensor(&format!("tokens.{n}")).is_ok())
            .map(|n| {
                let data = |kind: &str| file.tensor(&format!("{kind}.{n}")).unwrap().data();
                Prompt {
                    tokens: integers(data("tokens"))
                        .into_iter()
                        .map(|t| t as u32)
                        .collect(),
                    rows: floats(data("sampled"))
                        .chunks_exact(sampled.len())
                        .map(<[f32]>::to_vec)
                        .collect(),
                    last: floats(data("last")),
                }
            })
            .collect();
        Self {
            model,
            geometry: config.geometry(),
            prompts,
            sampled,
        }
    }

    /// A cache of so many pages for each layer group.
    pub fn cache(&self, pages: usize, dtype: KvDType) -> KvStorage {
        let shape = KvShape {
            pages: pages * self.geometry.windows.len(),
            kv_heads: self.geometry.kv_heads,
            page_size: PAGE,
            head_dim: self.geometry.head_dim,
            slots: self.geometry.slots,
            dtype,
        };
        KvStorage::new(&shape, &Device::Cpu).unwrap()
    }

    /// Logits of every row of the batch.
    pub fn run(&self, mut batch: Batch, cache: &KvStorage) -> Vec<Vec<f32>> {
        batch.logit_rows = (0..batch.tokens.len() as u32).collect();
        let hidden = self.model.forward(&batch, cache).unwrap();
        self.model
            .logits(&hidden)
            .unwrap()
            .to_vec2::<f32>()
            .unwrap()
    }

    /// Largest difference to the reference.
    pub fn difference(&self, prompt: &Prompt, logits: &[Vec<f32>]) -> f32 {
        assert_eq!(logits.len(), prompt.rows.len());
        let mut worst = 0f32;
        for (row, expected) in logits.iter().zip(&prompt.rows) {
            for (&id, want) in self.sampled.iter().zip(expected) {
                worst = worst.max((row[id] - want).abs());
            }
        }
        for (have, want) in logits.last().unwrap().iter().zip(&prompt.last) {
            worst = worst.max((have - want).abs());
        }
        worst
    }
}

/// Page tables of all groups in a scrambled order, so that a wrong one cannot pass.
pub fn tables(golden: &Golden, first: usize, tokens: usize, pages: usize) -> Vec<Vec<u32>> {
    let table = |group: usize| {
        (0..tokens.div_ceil(PAGE))
            .map(|p| (group * pages + (first + p) * 7 % pages) as u32)
            .collect()
    };
    (0..golden.geometry.windows.len()).map(table).collect()
}

/// Logits of the golden checkpoint's prompts, by its own model or by another that was read.
pub fn logits_of(name: &str, other: Option<(&ModelConfig, Box<dyn Model>)>) -> Vec<Vec<Vec<f32>>> {
    let folder = folder(name);
    let mut golden = Golden::open(&folder, &ModelConfig::read(&folder).unwrap(), None);
    if let Some((config, model)) = other {
        golden.model = model;
        golden.geometry = config.geometry();
    }
    let run = |prompt: &Prompt| {
        let mut batch = Batch::default();
        let pages = tables(&golden, 0, prompt.tokens.len(), 64);
        batch.push(&prompt.tokens, 0, pages);
        golden.run(batch, &golden.cache(64, KvDType::F32))
    };
    golden.prompts.iter().map(run).collect()
}

/// Kullback–Leibler divergence of two rows of logits, nats.
pub fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let log_softmax = |row: &[f32]| {
        let max = row.iter().copied().fold(f32::MIN, f32::max) as f64;
        let sum: f64 = row.iter().map(|&x| (x as f64 - max).exp()).sum();
        row.iter()
            .map(|&x| x as f64 - max - sum.ln())
            .collect::<Vec<_>>()
    };
    let (p, q) = (log_softmax(p), log_softmax(q));
    p.iter().zip(&q).map(|(a, b)| a.exp() * (a - b)).sum()
}

/// Asserts that a model read in another layout has bitwise the logits of the golden checkpoint named.
pub fn logits_are_those_of(name: &str, config: &ModelConfig, model: Box<dyn Model>) {
    assert_eq!(
        logits_of(name, Some((config, model))),
        logits_of(name, None)
    );
}
