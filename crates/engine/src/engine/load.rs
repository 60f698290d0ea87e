//! From a model's files to the parts the engine thread runs: everything is checked before a tensor is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;

use super::files::ModelFiles;
use super::threads::Threads;
use crate::cache::storage::{KvDType, KvShape, KvStorage};
use crate::memory::{self, Demand, MemoryPlan};
use crate::model::{Geometry, Model};
use crate::sampling::Compiler;
use crate::scheduler::{LayerGroup, Scheduler, SchedulerConfig};
use crate::text::Tokenizer;
use crate::weights::{Checkpoint, Keeping, StorageDType, Tiles, WeightError, WeightSource};

/// What to load and under which bounds.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Folder of a Hugging Face checkpoint, or a GGUF file (the first one where the model is split).
    pub path: PathBuf,
    /// Converts matrices; none keeps the checkpoint's own type.
    pub dtype: Option<StorageDType>,
    /// Blocks that plain matrices are rounded to.
    pub quantize: Option<StorageDType>,
    /// Products may round their activations: see [`Keeping::rounds`].
    pub rounds_activations: bool,
    /// Folder in which tiles are kept, so that later loads map them.
    pub tiles: Option<PathBuf>,
    /// Longest context, tokens.
    pub max_model_len: Option<usize>,
    /// Sequences running at once.
    pub max_sequences: usize,
    /// Rows in one step.
    pub max_batched_tokens: usize,
    /// Bytes of KV cache.
    pub kv_cache: Option<u64>,
    /// What it is made of; none is as precise as the weights.
    pub kv_dtype: Option<KvDType>,
    /// Positions in a page.
    pub page_size: usize,
    /// Bytes to plan with; none takes all that is free. Of several engines each gets its share, see `shares`.
    pub memory: Option<u64>,
    /// Threads of the forward pass.
    pub threads: Option<usize>,
    /// Threads that no other engine of this process uses.
    pub own_threads: bool,
    /// Guess what comes next by what came before, and check the guess in the same pass.
    pub prompt_lookup: bool,
    /// Keep full pages for later requests with the same prefix.
    pub prefix_cache: bool,
    /// Requests that may wait.
    pub max_queued_requests: usize,
    /// Prompt tokens that may wait.
    pub max_queued_tokens: usize,
    /// Strings of control tokens the family needs.
    pub control_tokens: Vec<String>,
    /// Control tokens that always end a generation, by string.
    pub stop_tokens: Vec<String>,
    /// Root of the prefix cache's hash chain, random per process.
    pub seed: [u8; 32],
}

impl LoadOptions {
    /// How the weights are kept.
    pub(super) fn keeping(&self) -> Keeping {
        Keeping {
            dtype: self.dtype,
            quantize: self.quantize,
            rounds: self.rounds_activations,
        }
    }
}

/// Why a model cannot be loaded: one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(String);

impl LoadError {
    /// An error with its sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<WeightError> for LoadError {
    fn from(error: WeightError) -> Self {
        Self(error.to_string())
    }
}

/// Facts about a loaded model.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// `SeedOssForCausalLM`.
    pub architecture: &'static str,
    /// Rows of the head.
    pub vocabulary: usize,
    /// Rows with a token behind them.
    pub real_vocabulary: usize,
    /// Ids that end a generation.
    pub eos: Vec<u32>,
    /// Number of weights.
    pub parameters: u64,
    /// Bounds it runs under.
    pub plan: MemoryPlan,
    /// Sequences running at once.
    pub max_sequences: usize,
    /// Positions in a page.
    pub page_size: usize,
}

/// What the engine thread owns.
pub(crate) struct Parts {
    pub(crate) model: Box<dyn Model>,
    pub(crate) cache: KvStorage,
    pub(crate) scheduler: Scheduler,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) compiler: Arc<Compiler>,
    pub(crate) eos: Vec<u32>,
    pub(crate) vocabulary: usize,
    pub(crate) threads: Threads,
    pub(crate) speculates: bool,
}

pub(crate) struct Loaded {
    pub(crate) parts: Parts,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) compiler: Arc<Compiler>,
    pub(crate) facts: ModelFacts,
}

pub(crate) fn load(
    options: &LoadOptions,
    progress: &mut dyn FnMut(&str, f32),
) -> Result<Loaded, LoadError> {
    progress("checking", 0.0);
    let ModelFiles {
        config,
        source,
        tokenizer,
        tokenizer_file,
        eos,
    } = ModelFiles::open(&options.path, &options.control_tokens)?;
    let geometry = config.geometry();
    let (rows, stop_tokens) = (geometry.vocabulary, options.stop_tokens.clone());
    let mut words = tokenizer
        .then(move |tokenizer| Words::of(tokenizer, &tokenizer_file, rows, eos, &stop_tokens))?;
    let expected = config.expected();
    let mut checkpoint = Checkpoint::check(source.as_ref(), &expected)?;
    let tiles = options.tiles.as_deref();
    let tiles = tiles.map(|folder| Tiles::open(folder, source.as_ref(), options.keeping()));
    let tiles = tiles.transpose()?;
    checkpoint.tiles = tiles.as_ref();

    let (mut shape, demand) = demand(options, &geometry, source.as_ref())?;
    let available = options.memory.unwrap_or_else(memory::available);
    let plan = memory::plan(&demand, available).map_err(LoadError::new)?;
    shape.pages = plan.pages;

    let model = config.load(
        &checkpoint,
        options.keeping(),
        options.page_size,
        &mut |done| {
            progress("loading weights", done);
            // What is wrong with it is said below, and not after all of the weights.
            match words.has_failed() {
                true => Err(WeightError::new(&options.path, "has no tokenizer")),
                false => Ok(()),
            }
        },
    );
    let (words, model) = (words.wait()?, model?);
    let Words {
        tokenizer,
        compiler,
        eos,
    } = words;
    if let Some(tiles) = tiles.filter(Tiles::has_new) {
        progress("keeping the tiled weights", 0.0);
        tiles.store()?;
    }
    progress("allocating the KV cache", 0.0);
    let cache = KvStorage::new(&shape, &Device::Cpu)
        .map_err(|e| LoadError::new(format!("cannot allocate the KV cache: {e}")))?;
    let scheduler = Scheduler::new(SchedulerConfig {
        page_size: options.page_size,
        pages: plan.pages,
        groups: groups_of(&geometry),
        max_sequences: options.max_sequences,
        max_batched_tokens: options.max_batched_tokens,
        max_model_len: plan.max_model_len,
        max_queued_requests: options.max_queued_requests,
        max_queued_tokens: options.max_queued_tokens,
        prefix_cache: options.prefix_cache,
        seed: options.seed,
    })
    .map_err(|e| LoadError::new(e.to_string()))?;
    let facts = ModelFacts {
        architecture: geometry.architecture,
        vocabulary: geometry.vocabulary,
        real_vocabulary: tokenizer.vocabulary().len(),
        eos: eos.clone(),
        parameters: expected.parameters(),
        plan,
        max_sequences: options.max_sequences,
        page_size: options.page_size,
    };
    Ok(Loaded {
        parts: Parts {
            model,
            cache,
            scheduler,
            tokenizer: Arc::clone(&tokenizer),
            compiler: Arc::clone(&compiler),
            eos,
            vocabulary: geometry.vocabulary,
            threads: Threads::new(options.threads, options.own_threads)?,
            speculates: options.prompt_lookup,
        },
        tokenizer,
        compiler,
        facts,
    })
}

/// What is made of a tokenizer while the weights load.
struct Words {
    tokenizer: Arc<Tokenizer>,
    /// Makes the vocabulary's trie on a thread of its own.
    compiler: Arc<Compiler>,
    /// Ids that end a generation, each once.
    eos: Vec<u32>,
}

impl Words {
    /// Checks the tokenizer of `file` against a head of so many `rows`; the family's own `stop_tokens` always end a
    /// generation, by string.
    fn of(
        tokenizer: Tokenizer,
        file: &Path,
        rows: usize,
        mut eos: Vec<u32>,
        stop_tokens: &[String],
    ) -> Result<Self, LoadError> {
        let known = tokenizer.vocabulary().len();
        if known > rows {
            return Err(LoadError::new(format!(
                "{}: holds token ids up to {}, but the config says vocab_size {rows}",
                file.display(),
                known - 1,
            )));
        }
        for name in stop_tokens {
            let id = tokenizer.token_id(name).ok_or_else(|| {
                LoadError::new(format!(
                    "{}: has no token {name}, which this family needs",
                    file.display()
                ))
            })?;
            eos.push(id);
        }
        eos.sort_unstable();
        eos.dedup();
        let tokenizer = Arc::new(tokenizer);
        let compiler = Compiler::start(Arc::clone(&tokenizer), eos.clone())
            .map_err(|e| LoadError::new(format!("cannot start the grammar thread: {e}")))?;
        Ok(Self {
            tokenizer,
            compiler: Arc::new(compiler),
            eos,
        })
    }
}

fn groups_of(geometry: &Geometry) -> Vec<LayerGroup> {
    let windows = geometry.windows.iter();
    windows.map(|&window| LayerGroup { window }).collect()
}

/// The KV cache's shape but for its pages, and what the model needs of memory, as far as headers tell.
pub(super) fn demand(
    options: &LoadOptions,
    geometry: &Geometry,
    source: &dyn WeightSource,
) -> Result<(KvShape, Demand), LoadError> {
    // The cache is as precise as the weights: f32 for an f32 checkpoint, bf16 for 16-bit ones.
    let widest = options
        .dtype
        .unwrap_or(match source.info("model.embed_tokens.weight") {
            Some(info) if info.dtype == "F32" => StorageDType::F32,
            Some(info) if info.dtype == "F16" => StorageDType::F16,
            _ => StorageDType::Bf16,
        });
    let cache_dtype = options.kv_dtype.unwrap_or(match widest {
        StorageDType::F32 => KvDType::F32,
        StorageDType::F16 | StorageDType::Bf16 | StorageDType::Mxfp4 | StorageDType::Blocks(_) => {
            KvDType::Bf16
        }
    });
    let (head, block) = (geometry.head_dim, cache_dtype.block());
    if !head.is_multiple_of(block) {
        return Err(LoadError::new(format!(
            "{}: has heads of {head} elements, which a KV cache of blocks of {block} cannot hold; leave --kv-cache-dtype at auto",
            options.path.display()
        )));
    }
    let shape = KvShape {
        pages: 0,
        kv_heads: geometry.kv_heads,
        page_size: options.page_size,
        head_dim: geometry.head_dim,
        slots: geometry.slots,
        dtype: cache_dtype,
    };
    let rows = options.max_batched_tokens as u64;
    let demand = Demand {
        weights: source
            .names()
            .into_iter()
            .filter_map(|name| Some(options.keeping().bytes(name, source.info(name)?)))
            .sum(),
        page: shape.page_bytes() as u64,
        page_size: options.page_size,
        groups: groups_of(geometry),
        step: options.max_batched_tokens,
        trained_context: geometry.max_positions,
        max_model_len: options.max_model_len,
        max_sequences: options.max_sequences,
        kv_cache: options.kv_cache,
        workspace: (rows * geometry.row_floats as u64 + geometry.fixed_floats as u64) * 4
            + super::head::LOGIT_ROWS as u64 * geometry.vocabulary as u64 * 8,
    };
    Ok((shape, demand))
}

/// Parts the free memory, or what the options say there is, for engines that will be loaded one after another, bytes
/// for each; opens their files as the loader will, so that what is wrong with any is known before the first is loaded.
pub fn shares(options: &[LoadOptions]) -> Result<Vec<u64>, LoadError> {
    let demands = options
        .iter()
        .map(|one| {
            let files = ModelFiles::open(&one.path, &one.control_tokens)?;
            files.tokenizer.wait()?;
            Ok(demand(one, &files.config.geometry(), files.source.as_ref())?.1)
        })
        .collect::<Result<Vec<_>, LoadError>>()?;
    let told = options.iter().find_map(|one| one.memory);
    let available = told.unwrap_or_else(memory::available);
    let shares = memory::shares(&demands, available).map_err(LoadError::new)?;
    for ((one, demand), share) in options.iter().zip(&demands).zip(&shares) {
        memory::plan(demand, *share)
            .map_err(|why| LoadError::new(format!("{}: {why}", one.path.display())))?;
    }
    Ok(shares)
}
