//! Logits of Seed-OSS against transformers: tiny random checkpoints of several shapes, in one chunk, in many, and in a
//! crowd. Fixtures come from tools/golden/logits.py. Prints the largest difference of each case.

mod reference;

use reference::{BOUND, Golden, PAGE, divergence, folder, tables};
use seed_engine::cache::storage::KvDType;
use seed_engine::model::{Batch, ModelConfig};
use seed_engine::weights::StorageDType;

const CASES: [&str; 3] = ["gqa", "wide", "tied"];

fn open(case: &str, dtype: Option<StorageDType>) -> Golden {
    let folder = folder("golden").join(case);
    let config = ModelConfig::read(&folder).unwrap();
    Golden::open(&folder, &config, dtype)
}

fn print(case: &str, how: &str, worst: f32) {
    println!("golden {case} {how}: largest difference {worst:.2e} (bound {BOUND:.0e})");
    assert!(worst <= BOUND, "{case} {how}: {worst}");
}

#[test]
fn one_chunk() {
    for case in CASES {
        let golden = open(case, None);
        let mut worst = 0f32;
        for prompt in &golden.prompts {
            let mut batch = Batch::default();
            batch.push(
                &prompt.tokens,
                0,
                tables(&golden, 0, prompt.tokens.len(), 64),
            );
            let logits = golden.run(batch, &golden.cache(64, KvDType::F32));
            worst = worst.max(golden.difference(prompt, &logits));
        }
        print(case, "one chunk", worst);
    }
}

#[test]
fn many_chunks_are_bitwise_the_same() {
    for case in CASES {
        let golden = open(case, None);
        let prompt = golden.prompts.last().unwrap();
        let pages = tables(&golden, 3, prompt.tokens.len(), 64);
        let mut whole = Batch::default();
        whole.push(&prompt.tokens, 0, pages.clone());
        let whole = golden.run(whole, &golden.cache(64, KvDType::F32));
        for chunk in [1usize, 7, 16, 33, 100] {
            let cache = golden.cache(64, KvDType::F32);
            let mut logits = Vec::new();
            for (n, tokens) in prompt.tokens.chunks(chunk).enumerate() {
                let mut batch = Batch::default();
                batch.push(tokens, n * chunk, pages.clone());
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
        let golden = open(case, None);
        let cache = golden.cache(128, KvDType::F32);
        let mut batch = Batch::default();
        let mut first = 0;
        for prompt in &golden.prompts {
            batch.push(
                &prompt.tokens,
                0,
                tables(&golden, first, prompt.tokens.len(), 128),
            );
            first += prompt.tokens.len().div_ceil(PAGE);
        }
        let crowd = golden.run(batch, &cache);
        let mut row = 0;
        for prompt in &golden.prompts {
            let mine = &crowd[row..row + prompt.tokens.len()];
            row += prompt.tokens.len();
            let mut alone = Batch::default();
            alone.push(
                &prompt.tokens,
                0,
                tables(&golden, 5, prompt.tokens.len(), 64),
            );
            assert_eq!(
                golden.run(alone, &golden.cache(64, KvDType::F32)),
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
            (Some(StorageDType::Bf16), KvDType::Bf16),
            (Some(StorageDType::F16), KvDType::Bf16),
            (Some(StorageDType::F32), KvDType::F32),
        ] {
            let golden = open(case, dtype);
            let prompt = golden.prompts.last().unwrap();
            let mut batch = Batch::default();
            batch.push(
                &prompt.tokens,
                0,
                tables(&golden, 0, prompt.tokens.len(), 64),
            );
            let logits = golden.run(batch, &golden.cache(64, cache));
            let kl = divergence(&prompt.last, logits.last().unwrap());
            println!("golden {case} {dtype:?} cache {cache:?}: KL {kl:.1e}");
            assert!(kl < 1e-3, "{case} {dtype:?}: {kl}");
        }
    }
}
