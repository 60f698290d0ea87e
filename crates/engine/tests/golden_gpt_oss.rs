//! Logits of gpt-oss against transformers: sinks, windows, YaRN, router, clamped SwiGLU, MXFP4 and bf16 experts; and
//! each wrong turn of the mutation table must show. Fixtures come from tools/golden/gpt_oss.py.

mod reference;

use std::path::{Path, PathBuf};

use reference::{BOUND, Golden, folder, tables};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use seed_engine::cache::storage::KvDType;
use seed_engine::model::{Batch, GptOssConfig, ModelConfig};
use serde_json::Value;

fn config(folder: &Path) -> GptOssConfig {
    match ModelConfig::read(folder).unwrap() {
        ModelConfig::GptOss(config) => config,
        other => panic!("{other:?}"),
    }
}

fn open() -> Golden {
    let folder = folder("golden-gpt-oss");
    Golden::open(&folder, &ModelConfig::GptOss(config(&folder)), None)
}

/// Largest difference over all prompts, each in one chunk.
fn worst(golden: &Golden) -> f32 {
    let mut worst = 0f32;
    for prompt in &golden.prompts {
        let mut batch = Batch::default();
        batch.push(
            &prompt.tokens,
            0,
            tables(golden, 0, prompt.tokens.len(), 64),
        );
        let logits = golden.run(batch, &golden.cache(64, KvDType::F32));
        let difference = golden.difference(prompt, &logits);
        worst = if difference.is_nan() {
            difference
        } else {
            worst.max(difference)
        };
    }
    worst
}

#[test]
fn packed_experts() {
    let worst = worst(&open());
    println!("golden gpt-oss MXFP4: largest difference {worst:.2e} (bound {BOUND:.0e})");
    assert!(worst <= BOUND, "{worst}");
}

#[test]
fn chunks_and_crowds_are_bitwise_the_same() {
    let golden = open();
    let prompt = golden.prompts.last().unwrap();
    let pages = tables(&golden, 3, prompt.tokens.len(), 64);
    let mut whole = Batch::default();
    whole.push(&prompt.tokens, 0, pages.clone());
    let whole = golden.run(whole, &golden.cache(64, KvDType::F32));
    for chunk in [1usize, 7, 33, 100] {
        let cache = golden.cache(64, KvDType::F32);
        let mut logits = Vec::new();
        for (n, tokens) in prompt.tokens.chunks(chunk).enumerate() {
            let mut batch = Batch::default();
            // Pages wholly behind every later window are given up, as the scheduler does.
            let mut pages = pages.clone();
            let first = (n * chunk + 1).saturating_sub(24) / reference::PAGE;
            pages[1][..first].fill(u32::MAX);
            batch.push(tokens, n * chunk, pages);
            logits.extend(golden.run(batch, &cache));
        }
        assert_eq!(logits, whole, "chunks of {chunk}");
    }
    let mut crowd = Batch::default();
    let mut first = 0;
    for prompt in &golden.prompts {
        crowd.push(
            &prompt.tokens,
            0,
            tables(&golden, first, prompt.tokens.len(), 128),
        );
        first += prompt.tokens.len().div_ceil(reference::PAGE);
    }
    let together = golden.run(crowd, &golden.cache(128, KvDType::F32));
    assert_eq!(together[together.len() - prompt.tokens.len()..], whole);
}

/// The same experts as a fine-tune saves them: bf16, transposed, still interleaved.
#[test]
fn dequantised_experts() {
    let target = dequantised();
    let golden = Golden::open(&target, &ModelConfig::GptOss(config(&target)), None);
    let worst = worst(&golden);
    println!("golden gpt-oss bf16 experts: largest difference {worst:.2e} (bound {BOUND:.0e})");
    assert!(worst <= BOUND, "{worst}");
    std::fs::remove_dir_all(target).unwrap();
}

fn dequantised() -> PathBuf {
    let source = folder("golden-gpt-oss");
    let target = std::env::temp_dir().join(format!("seed-gpt-oss-{}", std::process::id()));
    std::fs::create_dir_all(&target).unwrap();
    std::fs::copy(
        source.join("expected.safetensors"),
        target.join("expected.safetensors"),
    )
    .unwrap();
    let text = std::fs::read(source.join("config.json")).unwrap();
    let mut json: Value = serde_json::from_slice(&text).unwrap();
    json.as_object_mut().unwrap().remove("quantization_config");
    std::fs::write(target.join("config.json"), json.to_string()).unwrap();
    let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in file.tensors() {
        if let Some(stem) = name.strip_suffix("_blocks") {
            let scales = file.tensor(&format!("{stem}_scales")).unwrap();
            let (shape, data) = widened(view.shape(), view.data(), scales.data());
            tensors.push((stem.into(), Dtype::BF16, shape, data));
        } else if !name.ends_with("_scales") {
            tensors.push((
                name,
                view.dtype(),
                view.shape().to_vec(),
                view.data().to_vec(),
            ));
        }
    }
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize_to_file(views, None, &target.join("model.safetensors")).unwrap();
    target
}

/// Blocks `[experts, outputs, groups, 16]` as bf16 `[experts, inputs, outputs]`, by the table of the specification.
fn widened(shape: &[usize], blocks: &[u8], scales: &[u8]) -> (Vec<usize>, Vec<u8>) {
    const VALUES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let (experts, outputs, inputs) = (shape[0], shape[1], shape[2] * 32);
    let mut data = Vec::with_capacity(experts * outputs * inputs * 2);
    for expert in 0..experts {
        for input in 0..inputs {
            for output in 0..outputs {
                let at = (expert * outputs + output) * inputs + input;
                let code = blocks[at / 2] >> (4 * (at % 2)) & 15;
                let sign = if code & 8 == 0 { 1.0 } else { -1.0 };
                let scale = 2f32.powi(i32::from(scales[at / 32]) - 127);
                let value = half::bf16::from_f32(sign * VALUES[usize::from(code & 7)] * scale);
                data.extend(value.to_le_bytes());
            }
        }
    }
    (vec![experts, inputs, outputs], data)
}

/// Wrong turns that others have taken; each must move some logit past the bound.
#[test]
fn wrong_turns_show() {
    let folder = folder("golden-gpt-oss");
    let right = config(&folder);
    let mut turns: Vec<(&str, GptOssConfig)> = Vec::new();
    let mut turn = |name, change: &dyn Fn(&mut GptOssConfig)| {
        let mut config = right.clone();
        change(&mut config);
        turns.push((name, config));
    };
    turn("window one wider", &|c| c.window += 1);
    turn("window one narrower", &|c| c.window -= 1);
    turn("no window", &|c| c.slides.fill(false));
    turn("layer parity swapped", &|c| {
        c.slides.iter_mut().for_each(|s| *s = !*s)
    });
    turn("YaRN rounded", &|c| c.yarn.truncate = true);
    turn("YaRN ignored", &|c| c.yarn.factor = 1.0);
    turn("no clamp", &|c| c.limit = 1e9);
    turn("alpha 1", &|c| c.alpha = 1.0);
    turn("one expert fewer", &|c| c.chosen -= 1);
    turn("eps times ten", &|c| c.norm_eps *= 10.0);
    for (name, config) in turns {
        let worst = worst(&Golden::open(&folder, &ModelConfig::GptOss(config), None));
        println!("golden gpt-oss, wrong turn {name}: largest difference {worst:.2e}");
        assert!(worst > BOUND, "{name} goes unseen: {worst}");
    }
}

/// Wrong turns that lie in reading the checkpoint, made by changing its tensors instead.
#[test]
fn misread_tensors_show() {
    let zeroed = |part: &'static str| {
        move |name: &str, data: &mut [u8]| {
            if name.ends_with(part) {
                data.fill(0);
            }
        }
    };
    let no_sinks = |name: &str, data: &mut [u8]| {
        if name.ends_with("sinks") {
            for value in data.chunks_exact_mut(2) {
                value.copy_from_slice(&half::bf16::from_f32(-100.0).to_le_bytes());
            }
        }
    };
    let nibbles = |name: &str, data: &mut [u8]| {
        if name.ends_with("_blocks") {
            data.iter_mut().for_each(|byte| *byte = byte.rotate_left(4));
        }
    };
    type Change<'a> = &'a dyn Fn(&str, &mut [u8]);
    let changes: [(&str, Change<'_>); 7] = [
        ("no sinks", &no_sinks),
        ("nibbles swapped", &nibbles),
        ("no router bias", &zeroed("router.bias")),
        ("no expert bias", &zeroed("gate_up_proj_bias")),
        ("no down bias", &zeroed("down_proj_bias")),
        ("no query bias", &zeroed("q_proj.bias")),
        ("no output bias", &zeroed("o_proj.bias")),
    ];
    let source = folder("golden-gpt-oss");
    let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    for (n, (what, change)) in changes.into_iter().enumerate() {
        let target = std::env::temp_dir().join(format!("seed-misread-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&target).unwrap();
        for file in ["config.json", "expected.safetensors"] {
            std::fs::copy(source.join(file), target.join(file)).unwrap();
        }
        let mut changed = bytes.clone();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            change(&name, &mut changed[8 + header + start..8 + header + end]);
        }
        std::fs::write(target.join("model.safetensors"), changed).unwrap();
        let worst = worst(&Golden::open(
            &target,
            &ModelConfig::GptOss(config(&target)),
            None,
        ));
        println!("golden gpt-oss, misread, {what}: largest difference {worst:.2e}");
        assert!(worst > BOUND, "{what} goes unseen: {worst}");
        std::fs::remove_dir_all(target).unwrap();
    }
}
