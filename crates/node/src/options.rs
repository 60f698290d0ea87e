//! Plain objects from JavaScript, turned into the engine's own types.

use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::{BigInt, ExternalRef, Uint32Array};
use napi_derive::napi;
use seed_engine::cache::storage::KvDType;
use seed_engine::engine::LoadOptions;
use seed_engine::request::Request;
use seed_engine::sampling::{GoesOn, Grammar, Messages, SamplingParams, ThoughtSpec};
use seed_engine::text::{Piece, Tokenizer};
use seed_engine::weights::StorageDType;

/// What to load; see `EngineOptions` in src/native.ts.
#[napi(object)]
pub struct EngineOptionsObject {
    pub path: String,
    pub dtype: String,
    pub quantize: Option<String>,
    pub rounds_activations: bool,
    pub tiles: Option<String>,
    pub max_model_len: Option<u32>,
    pub max_sequences: u32,
    pub max_batched_tokens: u32,
    pub kv_cache_bytes: Option<f64>,
    pub kv_cache_dtype: Option<String>,
    pub page_size: u32,
    pub memory: Option<f64>,
    pub threads: Option<u32>,
    pub own_threads: bool,
    pub prefix_cache: bool,
    pub prompt_lookup: bool,
    pub max_queue: u32,
    pub max_queued_tokens: f64,
    pub control_tokens: Vec<String>,
    pub stop_tokens: Vec<String>,
    /// 32 random bytes.
    pub seed: Vec<u8>,
}

/// The block format that the command line calls so.
pub(crate) fn blocks(name: &str) -> Result<StorageDType, String> {
    StorageDType::blocks(&name.to_uppercase()).ok_or_else(|| format!("unknown format {name}"))
}

impl EngineOptionsObject {
    pub(crate) fn into_load_options(self) -> Result<LoadOptions, String> {
        let dtype = match self.dtype.as_str() {
            "auto" => None,
            "bfloat16" => Some(StorageDType::Bf16),
            "float16" => Some(StorageDType::F16),
            "float32" => Some(StorageDType::F32),
            other => return Err(format!("unknown dtype {other}")),
        };
        let quantize = match self.quantize.as_deref() {
            None => None,
            Some("mxfp4") => Some(StorageDType::Mxfp4),
            Some(name) => Some(blocks(name)?),
        };
        let kv_dtype = match self.kv_cache_dtype.as_deref() {
            None => None,
            Some("float32") => Some(KvDType::F32),
            Some("bfloat16") => Some(KvDType::Bf16),
            Some("q8_0") => Some(KvDType::Q8),
            Some(other) => return Err(format!("unknown type {other} of a KV cache")),
        };
        let seed = <[u8; 32]>::try_from(self.seed).map_err(|_| "seed must be 32 bytes")?;
        Ok(LoadOptions {
            path: PathBuf::from(self.path),
            dtype,
            quantize,
            rounds_activations: self.rounds_activations,
            tiles: self.tiles.map(PathBuf::from),
            max_model_len: self.max_model_len.map(|n| n as usize),
            max_sequences: self.max_sequences as usize,
            max_batched_tokens: self.max_batched_tokens as usize,
            kv_cache: self.kv_cache_bytes.map(|n| n as u64),
            kv_dtype,
            page_size: self.page_size as usize,
            memory: self.memory.map(|n| n as u64),
            threads: self.threads.map(|n| n as usize),
            own_threads: self.own_threads,
            prefix_cache: self.prefix_cache,
            prompt_lookup: self.prompt_lookup,
            max_queued_requests: self.max_queue as usize,
            max_queued_tokens: self.max_queued_tokens as usize,
            control_tokens: self.control_tokens,
            stop_tokens: self.stop_tokens,
            seed,
        })
    }
}

/// A piece of text: `kind` is `text` (caller's), `control` (one control token) or `prompt` (control tokens count).
#[napi(object)]
#[derive(Clone)]
pub struct PieceObject {
    pub text: String,
    pub kind: String,
}

/// Token ids of pieces in order.
pub(crate) fn encode(tokenizer: &Tokenizer, pieces: &[PieceObject]) -> Result<Vec<u32>, String> {
    if let [piece] = pieces
        && piece.kind == "prompt"
    {
        return Ok(tokenizer.encode_prompt(&piece.text));
    }
    let pieces: Vec<Piece> = pieces
        .iter()
        .map(|p| Piece {
            text: p.text.clone(),
            control: p.kind == "control",
        })
        .collect();
    tokenizer.encode_pieces(&pieces).map_err(|e| e.to_string())
}

/// A token and its bias.
#[napi(object)]
pub struct BiasObject {
    pub id: u32,
    pub bias: f64,
}

/// See `Sampling` in src/engine.ts.
#[napi(object)]
pub struct SamplingObject {
    pub temperature: f64,
    pub top_k: u32,
    pub top_p: f64,
    pub min_p: f64,
    pub repetition_penalty: f64,
    pub presence_penalty: f64,
    pub frequency_penalty: f64,
    pub logit_bias: Vec<BiasObject>,
    pub seed: Option<BigInt>,
    pub min_tokens: u32,
    pub max_tokens: u32,
    pub ignore_eos: bool,
    pub stop_token_ids: Vec<u32>,
    pub stop_strings: Vec<String>,
    pub include_stop: bool,
    pub logprobs: Option<u32>,
    pub logprob_token_ids: Option<Vec<u32>>,
    pub bad_words: Vec<Vec<u32>>,
    pub allowed_token_ids: Option<Vec<u32>>,
    pub goes_on: Option<GoesOnObject>,
}

/// See `goesOn` of `Sampling` in src/engine.ts.
#[napi(object)]
pub struct GoesOnObject {
    pub after: u32,
    pub until: u32,
}

/// See `Thought` in src/engine.ts.
#[napi(object, object_to_js = false)]
pub struct ThoughtObject {
    pub start: Vec<u32>,
    pub choice: u32,
    pub end: u32,
    pub reflect_start: Option<u32>,
    pub reflect_end: Option<u32>,
    pub call_start: Option<u32>,
    pub call_end: Option<u32>,
    pub open_in_prompt: bool,
    pub budget: Option<u32>,
    pub closing: Vec<u32>,
    pub closing_in_reflection: Vec<u32>,
    pub after_closing: Vec<u32>,
    pub once: bool,
    pub content: Option<u32>,
    pub content_ends: Vec<u32>,
}

impl ThoughtObject {
    fn into_spec(self) -> Result<ThoughtSpec, String> {
        if self.choice as usize >= self.start.len() {
            return Err("the thought's start needs a token at its choice".into());
        }
        let ends = self.content_ends;
        Ok(ThoughtSpec {
            start: self.start,
            choice: self.choice as usize,
            end: self.end,
            reflect_start: self.reflect_start,
            reflect_end: self.reflect_end,
            call_start: self.call_start,
            call_end: self.call_end,
            open_in_prompt: self.open_in_prompt,
            budget: self.budget,
            closing: self.closing,
            closing_in_reflection: self.closing_in_reflection,
            after_closing: self.after_closing,
            forbid_second: self.once,
            messages: self.content.map(|content| Messages { content, ends }),
        })
    }
}

/// See `EngineRequest` in src/engine.ts; `id` is chosen by native.ts.
#[napi(object, object_to_js = false)]
pub struct RequestObject {
    pub id: f64,
    pub prompt: Uint32Array,
    pub sampling: SamplingObject,
    pub thought: Option<ThoughtObject>,
    /// From a `compiled` event of the same engine.
    pub constraint: Option<ExternalRef<Arc<Grammar>>>,
    pub cache_salt: Option<String>,
    pub priority: i32,
    pub tenant: f64,
    pub prompt_logprobs: Option<u32>,
}

impl RequestObject {
    pub(crate) fn into_request(self) -> Result<Request, String> {
        let s = self.sampling;
        let seed = s.seed.map(|seed| {
            let (negative, word, _) = seed.get_u64();
            if negative { word.wrapping_neg() } else { word }
        });
        Ok(Request {
            id: self.id as u64,
            prompt: self.prompt.to_vec(),
            params: SamplingParams {
                temperature: s.temperature as f32,
                top_k: (s.top_k > 0).then_some(s.top_k),
                top_p: s.top_p as f32,
                min_p: s.min_p as f32,
                repetition_penalty: s.repetition_penalty as f32,
                presence_penalty: s.presence_penalty as f32,
                frequency_penalty: s.frequency_penalty as f32,
                logit_bias: s.logit_bias.iter().map(|b| (b.id, b.bias as f32)).collect(),
                seed,
                min_tokens: s.min_tokens,
                max_tokens: s.max_tokens,
                ignore_eos: s.ignore_eos,
                eos_ids: Vec::new(),
                stop_token_ids: s.stop_token_ids,
                stop_strings: s.stop_strings,
                include_stop: s.include_stop,
                logprobs: s.logprobs,
                logprob_token_ids: s.logprob_token_ids.unwrap_or_default(),
                bad_words: s.bad_words,
                allowed_token_ids: s.allowed_token_ids,
                goes_on: s.goes_on.map(|g| GoesOn {
                    after: g.after,
                    until: g.until,
                }),
            },
            thought: self.thought.map(ThoughtObject::into_spec).transpose()?,
            constraint: self.constraint.map(|grammar| Arc::clone(&*grammar)),
            cache_salt: self.cache_salt.unwrap_or_default().into_bytes(),
            priority: self.priority,
            tenant: self.tenant as u64,
            prompt_logprobs: self.prompt_logprobs,
        })
    }
}
