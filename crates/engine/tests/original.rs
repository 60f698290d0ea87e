//! gpt-oss in OpenAI's own layout: the golden checkpoint written so by tools/golden/original.py has bitwise the same
//! logits, damaged folders are one sentence, and the bundled vocabulary tokenizes as openai-harmony does.

mod reference;

use std::path::{Path, PathBuf};

use reference::{PAGE, folder, logits_are_those_of};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use seed_engine::model::{ModelConfig, is_original};
use seed_engine::text::{TokenizerOptions, o200k_harmony, o200k_harmony_vocabulary};
use seed_engine::weights::{Checkpoint, SafetensorsFolder, WeightError};
use serde_json::{Value, json};

const SECOND: &str = "model--00002-of-00002.safetensors";

fn open(folder: &Path) -> Result<(ModelConfig, SafetensorsFolder), WeightError> {
    let config = ModelConfig::read(folder)?;
    let ModelConfig::GptOss(c) = &config else {
        panic!("{config:?}");
    };
    let (queries, keys) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
    let source = SafetensorsFolder::open_original(folder, queries, keys)?;
    Checkpoint::check(&source, &config.expected())?;
    Ok((config, source))
}

#[test]
fn logits_are_those_of_hugging_faces_layout() {
    let (config, source) = open(&folder("golden-original")).unwrap();
    let checkpoint = Checkpoint {
        source: &source,
        tiles: None,
    };
    let model = config
        .load(&checkpoint, None, PAGE, &mut |_| Ok(()))
        .unwrap();
    logits_are_those_of("golden-gpt-oss", &config, model);
}

#[test]
fn configs_say_the_same() {
    let config = |name: &str| ModelConfig::read(&folder(name)).unwrap();
    assert_eq!(
        format!("{:?}", config("golden-original")),
        format!("{:?}", config("golden-gpt-oss"))
    );
    let theirs = json!({"architectures": ["GptOssForCausalLM"], "experts_per_token": 4});
    assert!(!is_original(&theirs) && !is_original(&json!({"num_experts": 8})));
}

/// A copy of the folder that is deleted in the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let target = std::env::temp_dir().join(format!("seed-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&target).unwrap();
        for file in std::fs::read_dir(folder("golden-original")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
        Self(target)
    }

    /// Writes the second file anew, with the tensors for which `keep` gives a name and a shape.
    fn rewrite(&self, keep: impl Fn(&str, &[usize]) -> Option<(String, Vec<usize>)>) {
        let bytes = std::fs::read(self.0.join(SECOND)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors();
        let kept = tensors.iter().filter_map(|(name, view)| {
            let (name, shape) = keep(name, view.shape())?;
            let bytes = shape.iter().product::<usize>() * view.data().len()
                / view.shape().iter().product::<usize>();
            let data = &view.data()[..bytes];
            Some((name, TensorView::new(view.dtype(), shape, data).unwrap()))
        });
        safetensors::serialize_to_file(kept, None, &self.0.join(SECOND)).unwrap();
    }

    fn config(&self, change: impl FnOnce(&mut Value)) {
        let file = self.0.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&file, config.to_string()).unwrap();
    }

    fn refused(&self, words: &[&str]) {
        let sentence = open(&self.0).err().expect("accepted").to_string();
        assert!(!sentence.contains('\n'), "{sentence}");
        for word in words {
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
fn damaged_folders_are_refused() {
    let copy = Copy::new("original-fused");
    copy.rewrite(|name, shape| {
        let mut shape = shape.to_vec();
        shape[0] -= usize::from(name == "block.2.attn.qkv.bias");
        Some((name.into(), shape))
    });
    copy.refused(&[SECOND, "block.2.attn.qkv.bias", "[191]", "192 rows"]);
    let copy = Copy::new("original-missing");
    copy.rewrite(|name, shape| {
        (name != "unembedding.weight").then(|| (name.into(), shape.to_vec()))
    });
    copy.refused(&["lm_head.weight is missing"]);
    let copy = Copy::new("original-unknown");
    copy.rewrite(|name, shape| Some((name.replace("mlp2_bias", "mlp3_bias"), shape.to_vec())));
    copy.refused(&[SECOND, "mlp3_bias", "own layout does not have"]);
    let copy = Copy::new("original-empty");
    for file in std::fs::read_dir(&copy.0).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy.refused(&["holds no safetensors file"]);
}

#[test]
fn a_config_without_a_key_names_it_as_the_file_would() {
    for key in ["num_experts", "rope_ntk_beta", "initial_context_length"] {
        let copy = Copy::new(&format!("original-{key}"));
        copy.config(|config| {
            config.as_object_mut().unwrap().remove(key);
        });
        copy.refused(&["config.json", key]);
    }
}

#[test]
fn the_bundled_vocabulary_is_that_of_openai_harmony() {
    let tokenizer = o200k_harmony(TokenizerOptions::default()).unwrap();
    let golden = std::fs::read(folder("golden-o200k.json")).unwrap();
    let cases: Vec<(String, Vec<u32>)> = serde_json::from_slice(&golden).unwrap();
    assert!(cases.len() > 200);
    for (text, ids) in cases {
        assert_eq!(tokenizer.encode_text(&text), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids, false), text);
    }
    let control = [
        ("<|startoftext|>", 199_998),
        ("<|endoftext|>", 199_999),
        ("<|return|>", 200_002),
        ("<|constrain|>", 200_003),
        ("<|channel|>", 200_005),
        ("<|start|>", 200_006),
        ("<|end|>", 200_007),
        ("<|message|>", 200_008),
        ("<|call|>", 200_012),
        ("<|reserved_200013|>", 200_013),
        ("<|endofprompt|>", 200_018),
    ];
    for (name, id) in control {
        assert_eq!(tokenizer.token_id(name), Some(id));
        assert_eq!(tokenizer.encode_prompt(name), [id]);
        assert!(tokenizer.encode_text(name).len() > 1);
        assert!(tokenizer.vocabulary().is_control(id));
    }
    let vocabulary = tokenizer.vocabulary();
    assert_eq!(vocabulary.len(), 200_019);
    let bare = o200k_harmony_vocabulary().unwrap();
    assert_eq!(bare.len(), vocabulary.len());
    for id in 0..bare.len() as u32 {
        assert_eq!(bare.bytes(id), vocabulary.bytes(id));
        assert_eq!(bare.is_control(id), vocabulary.is_control(id));
    }
    assert_eq!(tokenizer.control_tokens().len(), 21);
}

#[test]
fn impossible_sizes_and_pointers_are_refused() {
    for (key, words) in [
        ("num_hidden_layers", "num_hidden_layers 4000000000"),
        ("num_experts", "num_local_experts * intermediate_size"),
        ("head_dim", "num_attention_heads * head_dim"),
    ] {
        let copy = Copy::new(&format!("original-huge-{key}"));
        copy.config(|config| config[key] = json!(4_000_000_000u64));
        copy.refused(&["config.json", words, "impossibly large"]);
    }
    let copy = Copy::new("original-pointer");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    std::fs::write(copy.0.join(SECOND), pointer).unwrap();
    copy.refused(&[SECOND, "Git LFS pointer", "git lfs pull"]);
}
