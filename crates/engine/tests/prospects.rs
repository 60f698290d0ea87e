//! What released models need, planned from their configs alone; and a plan from a config equals that from the weights.

mod reference;

use std::path::Path;

use reference::folder;
use seed_engine::engine::{LoadOptions, Prospect, prospect};
use seed_engine::model::released_names;

fn options(path: &Path, memory: u64) -> LoadOptions {
    LoadOptions {
        tiles: None,
        path: path.into(),
        dtype: None,
        quantize: None,
        rounds_activations: false,
        max_model_len: None,
        max_sequences: 64,
        max_batched_tokens: 512,
        kv_cache: None,
        kv_dtype: None,
        page_size: 16,
        memory: Some(memory),
        threads: None,
        own_threads: false,
        prompt_lookup: true,
        prefix_cache: true,
        max_queued_requests: 16,
        max_queued_tokens: 1 << 20,
        control_tokens: Vec::new(),
        stop_tokens: Vec::new(),
        seed: [0; 32],
    }
}

fn of(name: &str, memory: u64) -> Prospect {
    prospect(&options(name.as_ref(), memory)).unwrap()
}

/// Decimal gigabytes, as the bounds are given.
const GB: u64 = 1_000_000_000;

#[test]
fn gpt_oss_fits_where_it_should_with_packed_experts() {
    for (name, bound, weights, packed, parameters) in [
        (
            "gpt-oss-20b",
            15 * GB,
            13_761_264_768,
            10_152_345_600,
            20_914_757_184,
        ),
        (
            "gpt-oss-120b",
            70 * GB,
            65_248_815_744,
            60_914_073_600,
            116_829_156_672,
        ),
    ] {
        let it = of(name, bound);
        assert_eq!(
            (it.weights, it.packed, it.parameters),
            (weights, packed, parameters)
        );
        assert!(it.least < bound, "{name}: {}", it.least);
        let plan = it.plan.clone().unwrap();
        assert!(plan.weights + plan.workspace + plan.kv_cache <= bound);
        assert!(plan.max_model_len >= 1024, "{name}: {}", plan.max_model_len);
        // The least is what it takes: with it there is a context, with a little less than the weights there is none.
        assert!(of(name, it.least).plan.unwrap().max_model_len >= 1024);
        let sentence = of(name, it.weights - 1).plan.unwrap_err();
        assert!(sentence.starts_with("the weights need"), "{sentence}");
    }
}

#[test]
fn with_room_the_whole_context_is_served() {
    for name in released_names() {
        let it = of(name, 1 << 40);
        assert_eq!(it.plan.unwrap().max_model_len, it.trained_context, "{name}");
    }
    // Sliding layers keep their window and a step's positions, full ones all: 12 of each, 2 KiB a layer and token.
    let pages = (131_072 / 16 + 1) + (128 + 512) / 16 + 2;
    let bytes = pages * 16 * 12 * 2048;
    assert_eq!(of("gpt-oss-20b", 1 << 40).whole_context, bytes);
    assert_eq!(of("Seed-OSS-36B-Instruct", 1 << 40).weights, 72_302_209_024);
}

#[test]
fn a_config_alone_plans_what_its_weights_would() {
    for name in ["golden-gpt-oss", "golden-original", "golden/gqa"] {
        let alone = std::env::temp_dir().join(format!("seed-alone-{}", std::process::id()));
        std::fs::create_dir_all(&alone).unwrap();
        let config = folder(name).join("config.json");
        std::fs::copy(config, alone.join("config.json")).unwrap();
        let whole = prospect(&options(&folder(name), GB)).unwrap();
        let planned = prospect(&options(&alone, GB)).unwrap();
        assert_eq!(format!("{planned:?}"), format!("{whole:?}"), "{name}");
        std::fs::remove_dir_all(alone).unwrap();
    }
}

#[test]
fn names_are_known_as_they_are_released_and_others_are_one_sentence() {
    let released = of("openai/GPT-OSS-20B", 15 * GB);
    assert_eq!(released.weights, of("gpt-oss-20b", 15 * GB).weights);
    let refusal = |name: &str| {
        prospect(&options(name.as_ref(), GB))
            .unwrap_err()
            .to_string()
    };
    let error = refusal("gpt-oss-2b");
    assert!(error.starts_with("gpt-oss-2b: there is no such folder"));
    assert!(error.ends_with("gpt-oss-20b, gpt-oss-120b, Seed-OSS-36B-Instruct are known"));
    assert!(refusal("").contains("no such folder"));
    let file = file!().rsplit('/').next().unwrap();
    let file = folder(file).display().to_string();
    assert!(refusal(&file).contains("config.json: cannot be read"));
}
