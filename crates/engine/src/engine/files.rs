//! A model's files in whichever layout they come: what is its config, its tokenizer, its tensors. The loader asks.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde_json::Value;

use super::load::LoadError;
use crate::model::{ModelConfig, is_original, read_json, released, released_names};
use crate::text::{Tokenizer, TokenizerOptions, o200k_harmony};
use crate::weights::{
    Checkpoint, GgufFile, Keeping, Promised, SafetensorsFolder, StorageDType, WeightSource, rewrite,
};

/// Files of one model, opened as far as their headers.
pub(crate) struct ModelFiles {
    /// Geometry, checked.
    pub(crate) config: ModelConfig,
    /// Tensors by the names the models read.
    pub(crate) source: Box<dyn WeightSource>,
    /// Text to tokens.
    pub(crate) tokenizer: Reading<Tokenizer>,
    /// Where the tokenizer comes from, for people.
    pub(crate) tokenizer_file: PathBuf,
    /// `eos_token_id` as generation_config.json, or else the config, has it.
    pub(crate) eos: Vec<u32>,
}

/// A tokenizer, or what is made of it, on a thread of its own: a large vocabulary takes most of a second, in which weights
/// load.
pub(crate) enum Reading<T> {
    Running(JoinHandle<Result<T, LoadError>>),
    Done(Box<Result<T, LoadError>>),
}

impl<T: Send + 'static> Reading<T> {
    fn start(
        read: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
    ) -> Result<Self, LoadError> {
        let thread = std::thread::Builder::new().name("seed-tokenizer".into());
        let started = thread.spawn(read);
        started
            .map(Self::Running)
            .map_err(|e| LoadError::new(format!("cannot start the tokenizer's thread: {e}")))
    }

    /// What `work` makes of it, as soon as it is read.
    pub(crate) fn then<U: Send + 'static>(
        self,
        work: impl FnOnce(T) -> Result<U, LoadError> + Send + 'static,
    ) -> Result<Reading<U>, LoadError> {
        Reading::start(move || work(self.wait()?))
    }

    fn ended(result: Result<T, LoadError>) -> Self {
        Self::Done(Box::new(result))
    }

    /// Whether it is known already that there will be none.
    pub(crate) fn has_failed(&mut self) -> bool {
        if matches!(self, Self::Running(thread) if thread.is_finished()) {
            let running = std::mem::replace(self, Self::ended(Err(LoadError::new("is read"))));
            *self = Self::ended(running.wait());
        }
        matches!(self, Self::Done(result) if result.is_err())
    }

    /// It, or what is wrong with it.
    pub(crate) fn wait(self) -> Result<T, LoadError> {
        let failed = |_| LoadError::new("reading the tokenizer has failed; its file is damaged");
        match self {
            Self::Running(thread) => thread.join().map_err(failed)?,
            Self::Done(result) => *result,
        }
    }
}

impl ModelFiles {
    /// Opens a folder of a checkpoint in Hugging Face's layout or OpenAI's own, or a GGUF file. `control` are control
    /// tokens the family needs.
    pub(crate) fn open(path: &Path, control: &[String]) -> Result<Self, LoadError> {
        if is_gguf(path) {
            Self::gguf(path, control)
        } else {
            Self::folder(path, control)
        }
    }

    fn folder(folder: &Path, control: &[String]) -> Result<Self, LoadError> {
        let (config, json) = config_of(folder)?;
        let source = weights_of(folder, &config, &json)?;
        let mut tokenizer_file = folder.join("tokenizer.json");
        let control = options(control);
        let bundled = is_original(&json) && !tokenizer_file.is_file();
        if bundled {
            tokenizer_file = "the bundled o200k_harmony vocabulary".into();
        }
        let file = tokenizer_file.clone();
        let tokenizer = Reading::start(move || {
            let read = match bundled {
                true => o200k_harmony(control),
                false => Tokenizer::from_file(&file, control),
            };
            read.map_err(|e| LoadError::new(e.to_string()))
        })?;
        let mut eos = Vec::new();
        for file in ["generation_config.json", "config.json"] {
            let path = folder.join(file);
            if !path.is_file() {
                continue;
            }
            let value = read_json(&path)?;
            if let Some(ids) = end_tokens(&value) {
                eos = ids;
                break;
            }
        }
        Ok(Self {
            config,
            source,
            tokenizer,
            tokenizer_file,
            eos,
        })
    }

    fn gguf(path: &Path, control: &[String]) -> Result<Self, LoadError> {
        let file = GgufFile::open(path)?;
        let config = ModelConfig::parse(file.config(), path)?;
        let (value, control, blamed) = (file.tokenizer()?, options(control), path.to_path_buf());
        let tokenizer = Reading::start(move || {
            Tokenizer::from_value(value, control)
                .map_err(|e| LoadError::new(format!("{}: its tokenizer {e}", blamed.display())))
        })?;
        Ok(Self {
            config,
            eos: end_tokens(file.config()).unwrap_or_default(),
            source: Box::new(file),
            tokenizer,
            tokenizer_file: path.to_path_buf(),
        })
    }
}

/// Config and tensors alone, as planning needs them. A released model's name, and a folder of which only config.json is
/// there, have the tensors that the config promises.
pub(crate) fn tensors_of(path: &Path) -> Result<(ModelConfig, Box<dyn WeightSource>), LoadError> {
    if is_gguf(path) {
        let file = GgufFile::open(path)?;
        let config = ModelConfig::parse(file.config(), path)?;
        return Ok((config, Box::new(file)));
    }
    let (config, json) = if path.exists() {
        config_of(path)?
    } else {
        // Perhaps with the name of who released it: openai/gpt-oss-20b.
        let name = path.file_name().and_then(|name| name.to_str());
        let json = name.and_then(released).ok_or_else(|| {
            LoadError::new(format!(
                "{}: there is no such folder, and no released model of that name; {} are known",
                path.display(),
                released_names().collect::<Vec<_>>().join(", ")
            ))
        })??;
        (ModelConfig::parse(&json, path)?, json)
    };
    let source = match holds_weights(path) {
        true => weights_of(path, &config, &json)?,
        false => Box::new(Promised::new(path, &config.expected(), dtype_in(&json))),
    };
    Ok((config, source))
}

/// Writes a folder's tensors with its products rounded to blocks as one safetensors file; the other files are the caller's.
pub fn quantize(folder: &Path, keeping: Keeping, file: &Path) -> Result<(), LoadError> {
    if is_gguf(folder) {
        return Err(LoadError::new(format!(
            "{}: a GGUF file is in its own blocks; give the folder of the checkpoint",
            folder.display()
        )));
    }
    let (config, json) = config_of(folder)?;
    if is_original(&json) {
        return Err(LoadError::new(format!(
            "{}: OpenAI's own layout is packed already; give the folder in Hugging Face's",
            folder.display()
        )));
    }
    let source = weights_of(folder, &config, &json)?;
    Checkpoint::check(source.as_ref(), &config.expected())?;
    Ok(rewrite(source.as_ref(), keeping, file)?)
}

fn is_gguf(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

fn config_of(folder: &Path) -> Result<(ModelConfig, Value), LoadError> {
    let file = folder.join("config.json");
    let json = read_json(&file)?;
    Ok((ModelConfig::parse(&json, &file)?, json))
}

fn weights_of(
    folder: &Path,
    config: &ModelConfig,
    json: &Value,
) -> Result<Box<dyn WeightSource>, LoadError> {
    Ok(Box::new(match config {
        ModelConfig::GptOss(c) if is_original(json) => {
            let (queries, keys) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
            SafetensorsFolder::open_original(folder, queries, keys)?
        }
        _ => SafetensorsFolder::open(folder)?,
    }))
}

fn holds_weights(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| file.path())
        .any(|file| file.extension().is_some_and(|e| e == "safetensors"))
}

/// The type that a config says its weights have.
fn dtype_in(json: &Value) -> StorageDType {
    let named = json.get("dtype").or_else(|| json.get("torch_dtype"));
    match named.and_then(Value::as_str) {
        Some("float32") => StorageDType::F32,
        Some("float16") => StorageDType::F16,
        _ => StorageDType::Bf16,
    }
}

fn options(control: &[String]) -> TokenizerOptions {
    TokenizerOptions {
        control: control.to_vec(),
    }
}

/// `eos_token_id`, one or a list.
fn end_tokens(value: &Value) -> Option<Vec<u32>> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value.get("eos_token_id") {
        Some(Value::Array(ids)) => Some(ids.iter().filter_map(id).collect()),
        Some(one @ Value::Number(_)) => Some(id(one).into_iter().collect()),
        _ => None,
    }
}
