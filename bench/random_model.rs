//! Random bf16 Seed-OSS models for benchmarks, and engines over them.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use safetensors::tensor::{Dtype, View};
use seed_engine::engine::{Engine, LoadError, LoadOptions};
use seed_engine::request::{Output, Request};
use seed_engine::sampling::SamplingParams;
use serde_json::json;

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

/// What the model is like.
pub struct Shape {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
}

/// Writes the model with this tokenizer.json into a folder, unless it is there.
pub fn make(folder: &Path, shape: &Shape, tokenizer: &serde_json::Value) -> std::io::Result<()> {
    if folder.join("model.safetensors").is_file() {
        return Ok(());
    }
    println!("making a random model in {}", folder.display());
    std::fs::create_dir_all(folder)?;
    let &Shape {
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim,
        intermediate,
        vocabulary,
    } = shape;
    let config = json!({
        "architectures": ["SeedOssForCausalLM"], "model_type": "seed_oss", "hidden_act": "silu",
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "intermediate_size": intermediate,
        "vocab_size": vocabulary, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e7,
        "attention_bias": true, "attention_out_bias": false, "mlp_bias": false, "tie_word_embeddings": false,
        "eos_token_id": 2
    });
    std::fs::write(folder.join("config.json"), config.to_string())?;
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
    let (q, kv) = (heads * head_dim, kv_heads * head_dim);
    let mut seed = 1;
    let mut tensors: Vec<(String, Noise)> = Vec::new();
    let mut add = |name: String, noise: Noise| tensors.push((name, noise));
    add(
        "model.embed_tokens.weight".into(),
        Noise::new(&[vocabulary, hidden], 0.1, &mut seed),
    );
    add(
        "lm_head.weight".into(),
        Noise::new(&[vocabulary, hidden], 0.1, &mut seed),
    );
    add("model.norm.weight".into(), Noise::ones(hidden));
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(name("input_layernorm.weight"), Noise::ones(hidden));
        add(name("post_attention_layernorm.weight"), Noise::ones(hidden));
        for (part, outputs) in [("q", q), ("k", kv), ("v", kv)] {
            let weight = name(&format!("self_attn.{part}_proj.weight"));
            add(weight, Noise::new(&[outputs, hidden], 0.05, &mut seed));
            add(
                name(&format!("self_attn.{part}_proj.bias")),
                Noise::new(&[outputs], 0.05, &mut seed),
            );
        }
        add(
            name("self_attn.o_proj.weight"),
            Noise::new(&[hidden, q], 0.02, &mut seed),
        );
        add(
            name("mlp.gate_proj.weight"),
            Noise::new(&[intermediate, hidden], 0.05, &mut seed),
        );
        add(
            name("mlp.up_proj.weight"),
            Noise::new(&[intermediate, hidden], 0.05, &mut seed),
        );
        add(
            name("mlp.down_proj.weight"),
            Noise::new(&[hidden, intermediate], 0.02, &mut seed),
        );
    }
    safetensors::serialize_to_file(tensors, None, &folder.join("model.safetensors"))
        .map_err(std::io::Error::other)
}

/// Loads the model for so many sequences at once; its outputs arrive at the receiver.
pub fn open(folder: &Path, sequences: usize) -> Result<(Engine, Receiver<Vec<Output>>), LoadError> {
    let (sender, outputs) = channel();
    let options = LoadOptions {
        tiles: None,
        path: folder.to_path_buf(),
        dtype: None,
        quantize: None,
        rounds_activations: true,
        max_model_len: Some(1024),
        max_sequences: sequences,
        max_batched_tokens: 512,
        kv_cache: None,
        kv_dtype: None,
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
    let sink = Box::new(move |step| {
        let _ = sender.send(step);
    });
    Ok((Engine::load(&options, &mut |_, _| {}, sink)?, outputs))
}

/// A greedy request of 32 prompt tokens that says so many and does not end before.
pub fn request(id: u64, tokens: u32) -> Request {
    Request {
        id,
        prompt: (0..32)
            .map(|t| 3 + (t * 7 + id as u32 * 13) % 256)
            .collect(),
        params: SamplingParams {
            temperature: 0.0,
            max_tokens: tokens,
            ignore_eos: true,
            ..SamplingParams::default()
        },
        thought: None,
        constraint: None,
        cache_salt: Vec::new(),
        priority: 0,
        tenant: 0,
        prompt_logprobs: None,
    }
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
