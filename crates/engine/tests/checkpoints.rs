//! Malformed checkpoints: each is one sentence that names the file and what is wrong, before a tensor is read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use seed_engine::model::ModelConfig;
use seed_engine::parallel::Rank;
use seed_engine::weights::{Checkpoint, SafetensorsFolder, Shard, WeightSource};
use serde_json::{Value, json};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A copy of a golden checkpoint that is deleted in the end.
struct Copy(PathBuf);

impl Copy {
    fn of(case: &str) -> Self {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let target =
            std::env::temp_dir().join(format!("seed-checkpoint-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&target).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(case);
        for file in std::fs::read_dir(source).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
        Self(target)
    }

    fn edit(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let path = self.0.join(file);
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
    }

    /// The sentence with which opening fails.
    fn refusal(&self) -> String {
        let attempt = || -> Result<(), seed_engine::weights::WeightError> {
            let config = ModelConfig::read(&self.0)?;
            let source = SafetensorsFolder::open(&self.0)?;
            Checkpoint::check(&source, &config.expected())?;
            Ok(())
        };
        attempt().expect_err("accepted").to_string()
    }

    fn refused(&self, file: &str, words: &[&str]) {
        let sentence = self.refusal();
        assert!(!sentence.contains('\n'), "{sentence}");
        for word in [file].iter().chain(words) {
            assert!(sentence.contains(word), "{sentence:?} lacks {word:?}");
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn good_ones_are_accepted() {
    for case in ["gqa", "wide", "tied"] {
        let copy = Copy::of(case);
        let config = ModelConfig::read(&copy.0).unwrap();
        let source = SafetensorsFolder::open(&copy.0).unwrap();
        Checkpoint::check(&source, &config.expected()).unwrap();
    }
}

#[test]
fn configs() {
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| {
        c["architectures"] = json!(["LlamaForCausalLM"])
    });
    copy.refused("config.json", &["LlamaForCausalLM", "SeedOssForCausalLM"]);
    for key in [
        "hidden_size",
        "head_dim",
        "num_key_value_heads",
        "attention_bias",
        "tie_word_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "vocab_size",
    ] {
        let copy = Copy::of("gqa");
        copy.edit("config.json", |c| {
            c.as_object_mut().unwrap().remove(key);
        });
        copy.refused("config.json", &[key]);
    }
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| c["num_key_value_heads"] = json!(4));
    copy.refused(
        "config.json",
        &["num_attention_heads 6", "num_key_value_heads 4"],
    );
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| {
        c["hidden_size"] = json!(4_000_000_000u64)
    });
    copy.edit("config.json", |c| c["vocab_size"] = json!(4_000_000_000u64));
    copy.refused("config.json", &["impossibly large"]);
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| {
        c["rope_scaling"] = json!({"rope_type": "yarn"})
    });
    copy.refused("config.json", &["yarn"]);
    std::fs::write(copy.0.join("config.json"), "{\"architectures\": [").unwrap();
    copy.refused("config.json", &["JSON"]);
    std::fs::remove_file(copy.0.join("config.json")).unwrap();
    copy.refused("config.json", &["cannot be read"]);
}

#[test]
fn shapes_against_the_config() {
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| c["head_dim"] = json!(16));
    copy.refused(".safetensors", &["shape", "config.json says"]);
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| c["num_hidden_layers"] = json!(4));
    copy.refused(
        "model.safetensors.index.json",
        &["model.layers.3", "missing"],
    );
    let copy = Copy::of("gqa");
    copy.edit("config.json", |c| c["num_hidden_layers"] = json!(2));
    copy.refused(".safetensors", &["model.layers.2", "does not have"]);
    let copy = Copy::of("tied");
    copy.edit("config.json", |c| c["tie_word_embeddings"] = json!(false));
    copy.refused("model.safetensors", &["lm_head.weight", "missing"]);
    let copy = Copy::of("tied");
    copy.edit("config.json", |c| c["attention_bias"] = json!(true));
    copy.refused("model.safetensors", &["bias", "missing"]);
}

#[test]
fn indexes() {
    let index = "model.safetensors.index.json";
    for bad in [
        "../model-00001-of-00002.safetensors",
        "/etc/passwd",
        "a\0.safetensors",
        "x.bin",
        "",
    ] {
        let copy = Copy::of("gqa");
        copy.edit(index, |i| i["weight_map"]["lm_head.weight"] = json!(bad));
        copy.refused(index, &["plain .safetensors"]);
    }
    let copy = Copy::of("gqa");
    copy.edit(index, |i| {
        i["weight_map"]["lm_head.weight"] = json!("model-00003-of-00002.safetensors")
    });
    copy.refused("model-00003-of-00002.safetensors", &["cannot be opened"]);
    let copy = Copy::of("gqa");
    copy.edit(index, |i| {
        i["weight_map"]["nobody.weight"] = json!("model-00001-of-00002.safetensors")
    });
    copy.refused(index, &["nobody.weight"]);
    std::fs::write(copy.0.join(index), "[]").unwrap();
    copy.refused(index, &["index"]);
}

#[test]
fn headers() {
    let file = "model.safetensors";
    let good = std::fs::read(Copy::of("tied").0.join(file)).unwrap();
    let broken: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("short", good[..100].to_vec()),
        ("truncated", good[..good.len() - 1000].to_vec()),
        (
            "huge header",
            [u64::MAX.to_le_bytes().to_vec(), good[8..].to_vec()].concat(),
        ),
        ("not JSON", {
            let mut bytes = good.clone();
            bytes[8] = b'?';
            bytes
        }),
    ];
    for (what, bytes) in broken {
        let copy = Copy::of("tied");
        std::fs::write(copy.0.join(file), bytes).unwrap();
        let sentence = copy.refusal();
        assert!(sentence.contains(file), "{what}: {sentence}");
    }
    let copy = Copy::of("tied");
    std::fs::remove_file(copy.0.join(file)).unwrap();
    assert!(copy.refusal().contains("model.safetensors"));
}

#[test]
fn slices_of_all_ranks_make_the_whole() {
    let copy = Copy::of("gqa");
    let source = SafetensorsFolder::open(&copy.0).unwrap();
    let name = "model.layers.0.self_attn.o_proj.weight";
    let values = |shard| {
        let matrix = source.matrix(name, shard).unwrap();
        let widened = matrix.converted(seed_engine::weights::StorageDType::F32);
        match widened.weights() {
            seed_kernels::cpu::Weights::F32(v) => (widened.rows(), widened.cols(), v.to_vec()),
            _ => panic!("not f32"),
        }
    };
    let (rows, cols, whole) = values(Shard::Whole);
    let world = 2;
    for rank in 0..world {
        let (r, c, part) = values(Shard::Rows { rank, world });
        assert_eq!((r, c), (rows / world, cols));
        assert_eq!(part, whole[rank * r * c..(rank + 1) * r * c]);
        let (r, c, part) = values(Shard::Columns { rank, world });
        assert_eq!((r, c), (rows, cols / world));
        for row in 0..r {
            let start = row * cols + rank * c;
            assert_eq!(part[row * c..(row + 1) * c], whole[start..start + c]);
        }
    }
    assert!(
        source
            .matrix(name, Shard::Rows { rank: 0, world: 7 })
            .is_err()
    );
    let q = Rank { rank: 1, world: 2 }.column_parallel();
    let bias = source
        .vector("model.layers.0.self_attn.q_proj.bias", q)
        .unwrap();
    let all = source
        .vector("model.layers.0.self_attn.q_proj.bias", Shard::Whole)
        .unwrap();
    assert_eq!(bias, all[all.len() / 2..]);
}
