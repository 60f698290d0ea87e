//! Decode speed of the whole engine against the machine's read bandwidth, both in one interleaved run.
//!
//! `npm run bench:decode` makes a random bf16 Seed-OSS model (about 0.75 GB) in a temporary folder, then alternates:
//! read 512 MB, decode one sequence, decode sixteen. Prints medians of the pairs and one line of JSON.

#[path = "random_model.rs"]
mod random_model;
#[path = "../crates/engine/tests/tiny/mod.rs"]
mod tiny;

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use random_model::{Shape, median};
use rayon::prelude::*;
use seed_engine::engine::Engine;
use seed_engine::request::Output;
use serde_json::json;

const SHAPE: Shape = Shape {
    hidden: 2048,
    layers: 5,
    heads: 16,
    kv_heads: 4,
    head_dim: 128,
    intermediate: 6144,
    vocabulary: 32768,
};
const PAIRS: usize = 7;
const TOKENS: u32 = 24;
const CROWD: usize = 16;

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
    for _ in 0..count {
        *ids += 1;
        let request = random_model::request(*ids, TOKENS + 1);
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::temp_dir().join("seed-bench-decode-1");
    random_model::make(&folder, &SHAPE, &tiny::tokenizer())?;
    let (engine, outputs) = random_model::open(&folder, CROWD)?;
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let memory: Vec<u64> = (0..64u64 << 20).collect();
    let read_per_token =
        engine.facts().plan.weights as f64 - (SHAPE.vocabulary * SHAPE.hidden * 2) as f64; // of the embedding one row is read
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
