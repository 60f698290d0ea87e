//! The only crate that sees napi: one `NativeEngine` class and one batched callback a step. `src/native.ts` is the caller.
//!
//! Every function catches panics (a panic in a plain napi function aborts Node), long work runs on threads of our own,
//! and everything they have to say goes through the one callback given to the constructor.

mod events;
mod options;
mod quantize;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

use napi::Status;
use napi::bindgen_prelude::{Buffer, Error, Result, Uint32Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use seed_engine::engine::Engine;
use seed_engine::text::{Tokenizer, Vocabulary, o200k_harmony_vocabulary};
use seed_engine::weights::GgufFile;
use seed_kernels::cpu::Level;

use events::{EngineEvent, ModelFactsObject, StatsObject, prospect_json};
pub use options::EngineOptionsObject;
use options::{PieceObject, RequestObject, encode};
pub use quantize::{Quantizing, quantize_folder};

/// The callback: weak, so that an idle engine does not keep the process alive.
type Callback = ThreadsafeFunction<EngineEvent, (), EngineEvent, Status, false, true, 0>;

struct EncodeJob {
    ticket: f64,
    tokenizer: Arc<Tokenizer>,
    pieces: Vec<PieceObject>,
}

/// A model that loads on a thread of its own and then serves requests.
#[napi]
pub struct NativeEngine {
    engine: Arc<OnceLock<Engine>>,
    encoder: Sender<EncodeJob>,
    callback: Arc<Callback>,
}

#[napi]
impl NativeEngine {
    /// Starts loading; progress, success or the sentence of a failure arrive at the callback.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: EngineOptionsObject, callback: Callback) -> Result<Self> {
        let options = options.into_load_options().map_err(invalid)?;
        let callback = Arc::new(callback);
        let engine = Arc::new(OnceLock::new());
        let encoder = encoder_thread(Arc::clone(&callback))?;
        std::thread::Builder::new()
            .name("seed-load".into())
            .spawn({
                let (engine, callback) = (Arc::clone(&engine), Arc::clone(&callback));
                move || {
                    let outcome =
                        catch_unwind(AssertUnwindSafe(|| load(&options, &callback, &engine)));
                    let event = match outcome {
                        Ok(Ok(())) => EngineEvent::loaded(),
                        Ok(Err(reason)) => EngineEvent::failed(reason),
                        Err(_) => {
                            EngineEvent::failed("loading stopped after an internal error".into())
                        }
                    };
                    callback.call(event, ThreadsafeFunctionCallMode::NonBlocking);
                }
            })
            .map_err(|e| Error::from_reason(format!("cannot start the loading thread: {e}")))?;
        Ok(Self {
            engine,
            encoder,
            callback,
        })
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine
            .get()
            .ok_or_else(|| Error::from_reason("the model is still loading"))
    }

    /// Facts about the loaded model.
    #[napi(catch_unwind)]
    pub fn facts(&self) -> Result<ModelFactsObject> {
        Ok(self.engine()?.facts().into())
    }

    /// Counters after the last step.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<StatsObject> {
        let engine = self.engine()?;
        Ok(StatsObject::new(&engine.counters(), engine.beat_age()))
    }

    /// Queues a request; outputs arrive at the callback. An error here is a request that was never queued.
    #[napi(catch_unwind)]
    pub fn submit(&self, request: RequestObject) -> Result<()> {
        let request = request.into_request().map_err(invalid)?;
        self.engine()?
            .submit(request)
            .map_err(|reason| Error::from_reason(reason.message))
    }

    /// Ends a request within one step.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: f64) -> Result<()> {
        self.engine()?.cancel(id as u64);
        Ok(())
    }

    /// Encodes a short prompt at once.
    #[napi(catch_unwind)]
    pub fn encode_now(&self, pieces: Vec<PieceObject>) -> Result<Uint32Array> {
        let tokens = encode(self.engine()?.tokenizer(), &pieces).map_err(invalid)?;
        Ok(Uint32Array::new(tokens))
    }

    /// Encodes a long prompt off the event loop; the answer arrives at the callback under `ticket`.
    #[napi(catch_unwind)]
    pub fn encode_later(&self, ticket: f64, pieces: Vec<PieceObject>) -> Result<()> {
        let job = EncodeJob {
            ticket,
            tokenizer: Arc::clone(self.engine()?.tokenizer()),
            pieces,
        };
        self.encoder
            .send(job)
            .map_err(|_| Error::from_reason("the tokenizer thread is gone"))
    }

    /// Compiles a grammar off the event loop; the answer arrives at the callback under `ticket`.
    #[napi(catch_unwind)]
    pub fn compile_constraint(&self, ticket: f64, lark: String) -> Result<()> {
        let callback = Arc::clone(&self.callback);
        let reply = Box::new(move |outcome| {
            callback.call(
                EngineEvent::compiled(ticket, outcome),
                ThreadsafeFunctionCallMode::NonBlocking,
            );
        });
        self.engine()?.compile_constraint(&lark, reply);
        Ok(())
    }

    /// Raw bytes of all tokens, one after another; `token_offsets` says where each begins.
    #[napi(catch_unwind)]
    pub fn token_bytes(&self) -> Result<Buffer> {
        Ok(bytes_of(&self.engine()?.tokenizer().vocabulary()))
    }

    /// Offsets into `token_bytes`, one more than there are tokens.
    #[napi(catch_unwind)]
    pub fn token_offsets(&self) -> Result<Uint32Array> {
        Ok(offsets_of(&self.engine()?.tokenizer().vocabulary()))
    }

    /// Ids of the control tokens.
    #[napi(catch_unwind)]
    pub fn control_ids(&self) -> Result<Uint32Array> {
        let tokens = self.engine()?.tokenizer().control_tokens();
        Ok(Uint32Array::new(tokens.iter().map(|(_, id)| *id).collect()))
    }

    /// Id of a token by its string.
    #[napi(catch_unwind)]
    pub fn token_id(&self, text: String) -> Result<Option<u32>> {
        Ok(self.engine()?.tokenizer().token_id(&text))
    }

    /// Cancels what is left and ends the engine thread; waits for the step in progress.
    #[napi(catch_unwind)]
    pub fn close(&self) -> Result<()> {
        if let Some(engine) = self.engine.get() {
            engine.close();
        }
        Ok(())
    }
}

/// What a GGUF file says beside its tensors, as JSON text in the words of a Hugging Face folder: `config`,
/// `tokenizerConfig` and `generationConfig`. The error is one sentence that names the file.
#[napi(catch_unwind)]
pub fn read_gguf(path: String) -> Result<String> {
    let file = GgufFile::open(path.as_ref()).map_err(|e| invalid(e.to_string()))?;
    Ok(serde_json::json!({
        "config": file.config(),
        "tokenizerConfig": file.tokenizer_config(),
        "generationConfig": file.generation_config(),
    })
    .to_string())
}

/// What a model would need and what there would be room for, as JSON text (see `Prospect` in src/machine.ts); `path` may
/// also name a released model, or a folder of which only config.json is there. The error is one sentence.
#[napi(catch_unwind)]
pub fn prospect(model: EngineOptionsObject) -> Result<String> {
    let options = model.into_load_options().map_err(invalid)?;
    let found = seed_engine::engine::prospect(&options).map_err(|e| invalid(e.to_string()))?;
    Ok(prospect_json(&found).to_string())
}

/// The o200k_harmony vocabulary: bytes of all tokens one after another, where each begins, and which are control tokens.
#[napi(object, object_from_js = false)]
pub struct VocabularyObject {
    pub bytes: Buffer,
    pub offsets: Uint32Array,
    pub control: Uint32Array,
}

/// The vocabulary that travels with the engine, for reading token ids where no model is.
#[napi(catch_unwind)]
pub fn harmony_vocabulary() -> Result<VocabularyObject> {
    let vocabulary = o200k_harmony_vocabulary().map_err(|e| invalid(e.to_string()))?;
    let control = (0..vocabulary.len() as u32).filter(|&id| vocabulary.is_control(id));
    Ok(VocabularyObject {
        bytes: bytes_of(&vocabulary),
        offsets: offsets_of(&vocabulary),
        control: Uint32Array::new(control.collect()),
    })
}

/// What this addon can do on this machine, as JSON text (see `AddonFacts` in src/machine.ts).
#[napi(catch_unwind)]
pub fn machine() -> String {
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "backends": ["cpu"],
        "kernels": Level::current().name(),
        "features": Level::features()
            .into_iter()
            .map(|(name, here)| serde_json::json!({"name": name, "here": here}))
            .collect::<Vec<_>>(),
        "freeMemory": seed_engine::memory::available(),
        "models": seed_engine::model::released_names().collect::<Vec<_>>(),
    })
    .to_string()
}

/// Parts the free memory for models that will be loaded one after another: bytes for each, to be given as `memory`.
#[napi(catch_unwind)]
pub fn share_memory(models: Vec<EngineOptionsObject>) -> Result<Vec<f64>> {
    let options = models
        .into_iter()
        .map(|one| one.into_load_options().map_err(invalid))
        .collect::<Result<Vec<_>>>()?;
    let shares = seed_engine::engine::shares(&options).map_err(|e| invalid(e.to_string()))?;
    Ok(shares.into_iter().map(|bytes| bytes as f64).collect())
}

fn bytes_of(vocabulary: &Vocabulary) -> Buffer {
    let bytes: Vec<u8> = (0..vocabulary.len() as u32)
        .flat_map(|id| vocabulary.bytes(id).to_vec())
        .collect();
    bytes.into()
}

/// Where the bytes of each token begin, and the end of the last.
fn offsets_of(vocabulary: &Vocabulary) -> Uint32Array {
    let mut offsets = Vec::with_capacity(vocabulary.len() + 1);
    let mut end = 0u32;
    offsets.push(end);
    for id in 0..vocabulary.len() as u32 {
        end += vocabulary.bytes(id).len() as u32;
        offsets.push(end);
    }
    Uint32Array::new(offsets)
}

fn load(
    options: &seed_engine::engine::LoadOptions,
    callback: &Arc<Callback>,
    slot: &OnceLock<Engine>,
) -> std::result::Result<(), String> {
    let mut progress = |phase: &str, done: f32| {
        callback.call(
            EngineEvent::progress(phase, done),
            ThreadsafeFunctionCallMode::NonBlocking,
        );
    };
    let sink = {
        let callback = Arc::clone(callback);
        Box::new(move |outputs| {
            callback.call(
                EngineEvent::steps(outputs),
                ThreadsafeFunctionCallMode::NonBlocking,
            );
        })
    };
    let engine = Engine::load(options, &mut progress, sink).map_err(|e| e.to_string())?;
    slot.set(engine)
        .map_err(|_| "the engine is loaded already".to_string())
}

/// One thread that encodes long prompts in order.
fn encoder_thread(callback: Arc<Callback>) -> Result<Sender<EncodeJob>> {
    let (jobs, inbox) = channel::<EncodeJob>();
    std::thread::Builder::new()
        .name("seed-encode".into())
        .spawn(move || {
            for job in inbox {
                let outcome =
                    catch_unwind(AssertUnwindSafe(|| encode(&job.tokenizer, &job.pieces)))
                        .unwrap_or_else(|_| Err("the tokenizer failed on this text".into()));
                callback.call(
                    EngineEvent::encoded(job.ticket, outcome),
                    ThreadsafeFunctionCallMode::NonBlocking,
                );
            }
        })
        .map_err(|e| Error::from_reason(format!("cannot start the tokenizer thread: {e}")))?;
    Ok(jobs)
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}
