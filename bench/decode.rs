//! Decode speed of the whole engine against the machine's read bandwidth, both in one interleaved run.
//!
//! `npm run bench:decode` makes a random bf16 Seed-OSS model (about 0.75 GB) in a temporary folder, then alternates:
//! read 512 MB, decode one sequence, decode sixteen. Prints medians of the pairs and one line of JSON.

#[path = "../crates/engine/tests/tiny/mod.rs"]
mod tiny;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use rayon::prelude::*;
use safetensors::tensor::{Dtype, View};
use seed_engine::engine::{Engine, LoadOptions};
use seed_engine::request::{Output, Request};
use seed_engine::sampling::SamplingParams;
use serde_json::json;

const HIDDEN: usize = 2048;
const LAYERS: usize = 5;
const HEADS: usize = 16;
const KV_HEADS: usize = 4;
const HEAD_DIM: usize = 128;
const INTERMEDIATE: usize = 6144;
const VOCABULARY: usize = 32768;
const PAIRS: usize = 7;
const TOKENS: u32 = 24;
const CROWD: usize = 16;

/// A tensor whose values are a repeated random block on the bf16 grid.
struct Noise {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Noise {
    fn new(shape: &[usize], scale: f32, seed: &mut u64) -> Self {
        let count: usize = shape.iter().product();
        let mut bytes = Vec::with_capacity(count * 2);
        for _ in 0..count {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = (*seed >> 40) as f32 / (1 << 24) as f32 - 0.5;
            bytes.extend(half::bf16::from_f32(uniform * scale).to_le_bytes());
        }
        Self {
            shape: shape.to_vec(),
            bytes,
        }
    }

    fn ones(len: usize) -> Self {
        let one = half::bf16::from_f32(1.0).to_le_bytes();
        Self {
            shape: vec![len],
            bytes: one.repeat(len),
        }
    }
}

impl View for Noise {
    fn dtype(&self) -> Dtype {
        Dtype::BF16
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn make_model(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let config = json!({
        "architectures": ["SeedOssForCausalLM"], "model_type": "seed_oss", "hidden_act": "silu",
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "intermediate_size": INTERMEDIATE,
        "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e7,
        "attention_bias": true, "attention_out_bias": false, "mlp_bias": false, "tie_word_embeddings": false,
        "eos_token_id": 2
    });
    std::fs::write(folder.join("config.json"), config.to_string())?;
    std::fs::write(folder.join("tokenizer.json"), tiny::tokenizer().to_string())?;
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let mut seed = 1;
    let mut tensors: Vec<(String, Noise)> = Vec::new();
    let mut add = |name: String, noise: Noise| tensors.push((name, noise));
    add(
        "model.embed_tokens.weight".into(),
        Noise::new(&[VOCABULARY, HIDDEN], 0.1, &mut seed),
    );
    add(
        "lm_head.weight".into(),
        Noise::new(&[VOCABULARY, HIDDEN], 0.1, &mut seed),
    );
    add("model.norm.weight".into(), Noise::ones(HIDDEN));
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(name("input_layernorm.weight"), Noise::ones(HIDDEN));
        add(name("post_attention_layernorm.weight"), Noise::ones(HIDDEN));
        for (part, outputs) in [("q", q), ("k", kv), ("v", kv)] {
            let weight = name(&format!("self_attn.{part}_proj.weight"));
            add(weight, Noise::new(&[outputs, HIDDEN], 0.05, &mut seed));
            add(
                name(&format!("self_attn.{part}_proj.bias")),
                Noise::new(&[outputs], 0.05, &mut seed),
            );
        }
        add(
            name("self_attn.o_proj.weight"),
            Noise::new(&[HIDDEN, q], 0.02, &mut seed),
        );
        add(
            name("mlp.gate_proj.weight"),
            Noise::new(&[INTERMEDIATE, HIDDEN], 0.05, &mut seed),
        );
        add(
            name("mlp.up_proj.weight"),
            Noise::new(&[INTERMEDIATE, HIDDEN], 0.05, &mut seed),
        );
        add(
            name("mlp.down_proj.weight"),
            Noise::new(&[HIDDEN, INTERMEDIATE], 0.02, &mut seed),
        );
    }
    safetensors::serialize_to_file(tensors, None, &folder.join("model.safetensors"))
        .map_err(std::io::Error::other)
}

/// GB/s of all threads reading distinct memory.
fn bandwidth(pool: &rayon::ThreadPool, memory: &[u64]) -> f64 {
    let start = Instant::now();
    let total: u64 = pool.install(|| {
        memory
            .par_chunks(1 << 16)
            .map(|chunk| {
                let mut sums = [0u64; 16];
                for block in chunk.chunks_exact(16) {
                    for (sum, value) in sums.iter_mut().zip(block) {
                        *sum ^= value;
                    }
                }
                sums.iter().fold(0, |a, b| a ^ b)
            })
            .reduce(|| 0, |a, b| a ^ b)
    });
    std::hint::black_box(total);
    memory.len() as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
}

/// Tokens per second after the first token of each of `count` sequences decoding together.
fn decode(engine: &Engine, outputs: &Receiver<Vec<Output>>, count: usize, ids: &mut u64) -> f64 {
    for n in 0..count {
        *ids += 1;
        let request = Request {
            id: *ids,
            prompt: (0..32)
                .map(|t| 3 + ((t * 7 + n as u32 * 13 + *ids as u32) % 256))
                .collect(),
            params: SamplingParams {
                temperature: 0.0,
                max_tokens: TOKENS + 1,
                ignore_eos: true,
                ..SamplingParams::default()
            },
            thought: None,
            constraint: None,
            cache_salt: Vec::new(),
            priority: 0,
            tenant: 0,
            prompt_logprobs: None,
        };
        engine
            .submit(request)
            .unwrap_or_else(|e| panic!("refused: {}", e.message));
    }
    let (mut begun, mut ended, mut tokens) = (0, 0, 0);
    let mut start = Instant::now();
    while ended < count {
        let Ok(step) = outputs.recv() else { break };
        for output in step {
            if begun == count {
                tokens += output.tokens.len();
            } else if !output.tokens.is_empty() && output.cached_tokens.is_some() {
                begun += 1;
                if begun == count {
                    start = Instant::now();
                }
            }
            ended += usize::from(output.end.is_some());
        }
    }
    tokens as f64 / start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::temp_dir().join("seed-bench-decode-1");
    if !folder.join("model.safetensors").is_file() {
        println!("making a random model in {}", folder.display());
        make_model(&folder)?;
    }
    let (sender, outputs) = channel();
    let options = LoadOptions {
        path: folder,
        dtype: None,
        max_model_len: Some(1024),
        max_sequences: CROWD,
        max_batched_tokens: 512,
        kv_cache: None,
        page_size: 16,
        memory: None,
        threads: None,
        own_threads: false,
        prefix_cache: false,
        prompt_lookup: false,
        max_queued_requests: 64,
        max_queued_tokens: 1 << 20,
        control_tokens: Vec::new(),
        stop_tokens: vec!["<seed:eos>".into()],
        seed: [0; 32],
    };
    let engine = Engine::load(
        &options,
        &mut |_, _| {},
        Box::new(move |step| {
            let _ = sender.send(step);
        }),
    )?;
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let memory: Vec<u64> = (0..64u64 << 20).collect();
    let read_per_token = engine.facts().plan.weights as f64 - (VOCABULARY * HIDDEN * 2) as f64; // of the embedding one row is read
    let mut ids = 0;
    decode(&engine, &outputs, 1, &mut ids);
    let (mut reads, mut ones, mut crowds, mut shares, mut gains) =
        (vec![], vec![], vec![], vec![], vec![]);
    for pair in 0..PAIRS {
        let read = bandwidth(&pool, &memory);
        let one = decode(&engine, &outputs, 1, &mut ids);
        let crowd = decode(&engine, &outputs, CROWD, &mut ids);
        println!(
            "pair {}: read {read:.1} GB/s, one sequence {one:.2} tokens/s = {:.1} GB/s, {CROWD} sequences {crowd:.2} tokens/s",
            pair + 1,
            one * read_per_token / 1e9
        );
        reads.push(read);
        ones.push(one);
        crowds.push(crowd);
        shares.push(one * read_per_token / 1e9 / read);
        gains.push(crowd / one);
    }
    let report = json!({
        "bench": "decode", "weights_gb_per_token": read_per_token / 1e9, "pairs": PAIRS,
        "read_gb_s": median(&mut reads), "one_tokens_s": median(&mut ones), "crowd_tokens_s": median(&mut crowds),
        "share_of_read_bandwidth": median(&mut shares), "crowd_over_one": median(&mut gains), "crowd": CROWD
    });
    println!(
        "median: decode reads weights at {:.0} % of read bandwidth (floor 60 %); {CROWD} sequences at {:.1}x one (floor 4x)",
        100.0 * report["share_of_read_bandwidth"].as_f64().unwrap_or(0.0),
        report["crowd_over_one"].as_f64().unwrap_or(0.0)
    );
    println!("{report}");
    engine.close();
    Ok(())
}
