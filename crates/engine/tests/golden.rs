//! Logits against transformers: tiny random checkpoints of several shapes, in one chunk, in many, and in a crowd.
//! Fixtures come from tools/golden/logits.py. Prints the largest difference of each case.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use safetensors::SafeTensors;
use seed_engine::cache::storage::{KvShape, KvStorage};
use seed_engine::model::{Batch, Model, ModelConfig, SeedOss};
use seed_engine::parallel::Rank;
use seed_engine::weights::{Checkpoint, SafetensorsFolder, StorageDType};

const CASES: [&str; 3] = ["gqa", "wide", "tied"];
const PAGE: usize = 16;
const BOUND: f32 = 2e-3;

struct Golden {
    model: SeedOss,
    kv_heads: usize,
    head_dim: usize,
    layers: usize,
    sampled: Vec<usize>,
    prompts: Vec<Prompt>,
}

struct Prompt {
    tokens: Vec<u32>,
    /// Logits of `sampled` ids at every position.
    rows: Vec<Vec<f32>>,
    /// All logits at the last position.
    last: Vec<f32>,
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(case)
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
    fn open(case: &str, dtype: Option<StorageDType>) -> Self {
        let ModelConfig::SeedOss(config) = ModelConfig::read(&folder(case)).unwrap();
        let source = SafetensorsFolder::open(&folder(case)).unwrap();
        let checkpoint = Checkpoint::check(&source, &config.expected()).unwrap();
        let model =
            SeedOss::load(&config, &checkpoint, dtype, PAGE, Rank::SOLO, &mut |_| {}).unwrap();
        let bytes = std::fs::read(folder(case).join("expected.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let sampled: Vec<usize> = integers(file.tensor("sampled_ids").unwrap().data())
            .into_iter()
            .map(|i| i as usize)
            .collect();
        let prompts = (0..5)
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
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            layers: config.layers,
            sampled,
            prompts,
        }
    }

    fn cache(&self, pages: usize, dtype: DType) -> KvStorage {
        let shape = KvShape {
            pages,
            kv_heads: self.kv_heads,
            page_size: PAGE,
            head_dim: self.head_dim,
            slots: self.layers,
            dtype,
        };
        KvStorage::new(&shape, &Device::Cpu).unwrap()
    }

    /// Logits of every row of the batch.
    fn run(&self, mut batch: Batch, cache: &KvStorage) -> Vec<Vec<f32>> {
        batch.logit_rows = (0..batch.tokens.len() as u32).collect();
        let hidden = self.model.forward(&batch, cache).unwrap();
        self.model
            .logits(&hidden)
            .unwrap()
            .to_vec2::<f32>()
            .unwrap()
    }

    fn difference(&self, prompt: &Prompt, logits: &[Vec<f32>]) -> f32 {
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

/// Pages in a scrambled order, so that a wrong page table cannot pass.
fn table(first: usize, tokens: usize, pages: usize) -> Vec<u32> {
    (0..tokens.div_ceil(PAGE))
        .map(|p| ((first + p) * 7 % pages) as u32)
        .collect()
}

fn print(case: &str, how: &str, worst: f32) {
    println!("golden {case} {how}: largest difference {worst:.2e} (bound {BOUND:.0e})");
    assert!(worst <= BOUND, "{case} {how}: {worst}");
}

#[test]
fn one_chunk() {
    for case in CASES {
        let golden = Golden::open(case, None);
        let mut worst = 0f32;
        for prompt in &golden.prompts {
            let mut batch = Batch::default();
            batch.push(&prompt.tokens, 0, vec![table(0, prompt.tokens.len(), 64)]);
            let logits = golden.run(batch, &golden.cache(64, DType::F32));
            worst = worst.max(golden.difference(prompt, &logits));
        }
        print(case, "one chunk", worst);
    }
}

#[test]
fn many_chunks_are_bitwise_the_same() {
    for case in CASES {
        let golden = Golden::open(case, None);
        let prompt = golden.prompts.last().unwrap();
        let pages = table(3, prompt.tokens.len(), 64);
        let mut whole = Batch::default();
        whole.push(&prompt.tokens, 0, vec![pages.clone()]);
        let whole = golden.run(whole, &golden.cache(64, DType::F32));
        for chunk in [1usize, 7, 16, 33, 100] {
            let cache = golden.cache(64, DType::F32);
            let mut logits = Vec::new();
            for (n, tokens) in prompt.tokens.chunks(chunk).enumerate() {
                let mut batch = Batch::default();
                batch.push(tokens, n * chunk, vec![pages.clone()]);
                logits.extend(golden.run(batch, &cache));
            }
            assert_eq!(logits, whole, "{case} in chunks of {chunk}");
            print(
                case,
                &format!("chunks of {chunk}"),
                golden.difference(prompt, &logits),
            );
        }
    }
}

#[test]
fn a_crowd_is_bitwise_the_same() {
    for case in CASES {
        let golden = Golden::open(case, None);
        let cache = golden.cache(128, DType::F32);
        let mut batch = Batch::default();
        let mut first = 0;
        for prompt in &golden.prompts {
            batch.push(
                &prompt.tokens,
                0,
                vec![table(first, prompt.tokens.len(), 128)],
            );
            first += prompt.tokens.len().div_ceil(PAGE);
        }
        let crowd = golden.run(batch, &cache);
        let mut row = 0;
        for prompt in &golden.prompts {
            let mine = &crowd[row..row + prompt.tokens.len()];
            row += prompt.tokens.len();
            let mut alone = Batch::default();
            alone.push(&prompt.tokens, 0, vec![table(5, prompt.tokens.len(), 64)]);
            assert_eq!(
                golden.run(alone, &golden.cache(64, DType::F32)),
                mine,
                "{case}"
            );
            print(case, "crowd", golden.difference(prompt, mine));
        }
    }
}

/// A 16-bit cache and converted weights stay close: judged by mean KL, as rounding moves single logits.
#[test]
fn lower_precision_stays_close() {
    for case in CASES {
        for (dtype, cache) in [
            (Some(StorageDType::Bf16), DType::BF16),
            (Some(StorageDType::F16), DType::BF16),
            (Some(StorageDType::F32), DType::F32),
        ] {
            let golden = Golden::open(case, dtype);
            let prompt = golden.prompts.last().unwrap();
            let mut batch = Batch::default();
            batch.push(&prompt.tokens, 0, vec![table(0, prompt.tokens.len(), 64)]);
            let logits = golden.run(batch, &golden.cache(64, cache));
            let kl = divergence(&prompt.last, logits.last().unwrap());
            println!("golden {case} {dtype:?} cache {cache:?}: KL {kl:.1e}");
            assert!(kl < 1e-3, "{case} {dtype:?}: {kl}");
        }
    }
}

/// Kullback–Leibler divergence of two rows of logits, nats.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
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
