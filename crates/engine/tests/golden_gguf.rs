//! The golden checkpoints written as GGUF by the `gguf` package (tools/golden/gguf_files.py): same config, same weights,
//! so bitwise the same logits; and damaged files are one sentence.

mod reference;

use std::path::PathBuf;

use reference::{PAGE, folder, logits_are_those_of, logits_of};
use seed_engine::model::{Model, ModelConfig};
use seed_engine::text::{Tokenizer, TokenizerOptions};
use seed_engine::weights::{Checkpoint, GgufFile};

/// The first of three parts.
const SEED_OSS: &str = "seed_oss-00001-of-00003.gguf";

fn file(name: &str) -> PathBuf {
    folder("golden-gguf").join(name)
}

fn model(name: &str) -> (ModelConfig, Box<dyn Model>) {
    let source = GgufFile::open(&file(name)).unwrap();
    let config = ModelConfig::parse(source.config(), &file(name)).unwrap();
    let checkpoint = Checkpoint::check(&source, &config.expected()).unwrap();
    let model = config
        .load(&checkpoint, None, PAGE, &mut |_| Ok(()))
        .unwrap();
    (config, model)
}

#[test]
fn seed_oss_logits_are_those_of_safetensors() {
    let (config, model) = model(SEED_OSS);
    logits_are_those_of("golden/gqa", &config, model);
}

#[test]
fn gpt_oss_logits_are_those_of_safetensors() {
    let (config, model) = model("gpt-oss.gguf");
    logits_are_those_of("golden-gpt-oss", &config, model);
}

#[test]
fn quantised_files_mean_what_the_gguf_package_widens_them_to() {
    for (name, folder) in [("seed_oss", "golden/gqa"), ("gpt-oss", "golden-gpt-oss")] {
        let of_file = |form: &str| {
            let (config, model) = model(&format!("{name}-{form}.gguf"));
            logits_of(folder, Some((&config, model)))
        };
        let (quantised, widened) = (of_file("quantised"), of_file("widened"));
        let pairs = quantised.iter().flatten().flatten();
        let pairs = pairs.zip(widened.iter().flatten().flatten());
        let worst = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst < 1e-4, "{name}: {worst}");
        assert_ne!(quantised, logits_of(folder, None));
    }
}

#[test]
fn the_tokenizer_comes_from_the_file() {
    for (name, control, digits) in [
        (SEED_OSS, "<seed:eos>", 3),
        ("gpt-oss.gguf", "<|return|>", 3),
    ] {
        let source = GgufFile::open(&file(name)).unwrap();
        let tokenizer = source.tokenizer().unwrap();
        let tokenizer = Tokenizer::from_value(tokenizer, TokenizerOptions::default()).unwrap();
        let the = tokenizer.encode_text("the");
        assert_eq!(the.len(), 1, "merges count");
        assert_eq!(tokenizer.encode_text("123").len(), digits);
        assert_eq!(tokenizer.encode_prompt(control), [2]);
        assert!(tokenizer.encode_text(control).len() > 1);
    }
}

/// The sentence with which an edited file is refused.
fn refusal(name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = std::fs::read(file(name)).unwrap();
    edit(&mut bytes);
    let path = std::env::temp_dir().join(format!(
        "seed-gguf-{}-{:?}.gguf",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, bytes).unwrap();
    let read = GgufFile::open(&path).and_then(|file| file.tokenizer());
    let sentence = read.err().map(|e| e.to_string());
    std::fs::remove_file(&path).unwrap();
    sentence.expect("accepted")
}

fn position(bytes: &[u8], text: &str) -> usize {
    let wanted = text.as_bytes();
    bytes
        .windows(wanted.len())
        .position(|w| w == wanted)
        .unwrap()
}

#[test]
fn damaged_files_are_one_sentence() {
    let name = "gpt-oss.gguf";
    let put = |at: usize, value: u64| {
        move |bytes: &mut Vec<u8>| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    let after = |text: &str, skip: usize| {
        position(&std::fs::read(file(name)).unwrap(), text) + text.len() + skip
    };
    let cases: Vec<(String, &str)> = vec![
        (refusal(name, |b| b[0] = b'X'), "is no GGUF file"),
        (refusal(name, |b| b[4] = 9), "is GGUF version 9"),
        (refusal(name, |b| b.truncate(200)), "ends inside its header"),
        (
            refusal(name, |b| b.truncate(b.len() - 5000)),
            "outside the file's",
        ),
        (refusal(name, put(8, u64::MAX)), "tensors; at most"),
        (refusal(name, put(16, 1 << 40)), "metadata keys; at most"),
        // A string, and an array, that claim more than the file has.
        (refusal(name, put(24, u64::MAX)), "ends inside its header"),
        (
            refusal(name, put(after("tokenizer.ggml.tokens", 8), u64::MAX)),
            "more than the file has bytes",
        ),
        // Dimensions whose product wraps around to something small, and an offset that does.
        (
            refusal(name, put(after("output.weight", 12), 1 << 62)),
            "outside the file's",
        ),
        (
            refusal(name, put(after("output.weight", 24), u64::MAX - 31)),
            "outside the file's",
        ),
        // A type that is not read.
        (
            refusal(name, |b| {
                let at = position(b, "output.weight") + "output.weight".len() + 20;
                b[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
            }),
            "Q2_K",
        ),
        (
            refusal(name, |b| {
                let at = position(b, "gpt-oss");
                b[at..at + 7].copy_from_slice(b"mamba-x");
            }),
            "architecture",
        ),
        (
            refusal(name, |b| {
                let at = position(b, "blk.0.attn_q.weight");
                b[at + 6..at + 12].copy_from_slice(b"ssm_in");
            }),
            "which neither",
        ),
    ];
    for (sentence, words) in cases {
        assert!(sentence.contains(words), "{sentence:?} lacks {words:?}");
        assert!(!sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn every_truncation_is_refused_or_read() {
    let bytes = std::fs::read(file(SEED_OSS)).unwrap();
    let path = std::env::temp_dir().join(format!("seed-gguf-cut-{}.gguf", std::process::id()));
    for len in (0..12_000).step_by(37).filter(|&len| len < bytes.len()) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(GgufFile::open(&path).is_err(), "{len} bytes");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn parts_of_a_split_are_found_by_name() {
    let sentence = |from: &str, to: &str| {
        let path = std::env::temp_dir().join(format!("seed-{}-{to}", std::process::id()));
        std::fs::copy(file(from), &path).unwrap();
        let sentence = GgufFile::open(&path).err().map(|e| e.to_string());
        std::fs::remove_file(&path).unwrap();
        sentence.expect("accepted")
    };
    let second = sentence("seed_oss-00002-of-00003.gguf", "b-00002-of-00003.gguf");
    assert!(second.contains("give the first one"), "{second}");
    let renamed = sentence(SEED_OSS, "renamed.gguf");
    assert!(renamed.contains("00001-of-00003"), "{renamed}");
    let alone = sentence(SEED_OSS, "a-00001-of-00003.gguf");
    assert!(alone.contains("00002-of-00003"), "{alone}");
}
