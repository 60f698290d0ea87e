//! An engine on a tiny checkpoint with its outputs, for tests of the whole of it.
#![allow(dead_code, reason = "each test binary uses its own part")]

#[path = "../tiny/mod.rs"]
mod tiny;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use seed_engine::engine::{Engine, LoadOptions};
use seed_engine::request::{Ending, Output, Request};
use seed_engine::sampling::{Grammar, SamplingParams};

/// Engines read SEED_ENGINE_PANIC_AT_STEP when they load, so loading takes turns.
pub static LOADING: Mutex<()> = Mutex::new(());

pub struct Server {
    pub engine: Engine,
    pub outputs: Receiver<Vec<Output>>,
}

#[derive(Default, Debug, Clone, PartialEq)]
pub struct Answer {
    pub tokens: Vec<u32>,
    pub cached: Option<usize>,
    pub scores: Option<Vec<Option<f32>>>,
    pub ends: Vec<Ending>,
}

pub fn folder(name: &str) -> PathBuf {
    folder_of("golden/gqa", name)
}

/// A fixture's checkpoint with a tokenizer beside it.
pub fn folder_of(case: &str, name: &str) -> PathBuf {
    let target = std::env::temp_dir().join(format!("seed-serving-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&target).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(case);
    for file in std::fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
    }
    std::fs::write(target.join("tokenizer.json"), tiny::tokenizer().to_string()).unwrap();
    target
}

pub fn options(folder: PathBuf) -> LoadOptions {
    LoadOptions {
        tiles: None,
        path: folder,
        dtype: None,
        quantize: None,
        rounds_activations: false,
        max_model_len: Some(256),
        max_sequences: 32,
        max_batched_tokens: 64,
        kv_cache: None,
        kv_dtype: None,
        page_size: 8,
        memory: None,
        threads: Some(2),
        own_threads: false,
        prefix_cache: true,
        prompt_lookup: false,
        max_queued_requests: 64,
        max_queued_tokens: 10_000,
        control_tokens: Vec::new(),
        stop_tokens: vec!["<seed:eos>".into()],
        seed: [7; 32],
    }
}

impl Server {
    pub fn start(options: &LoadOptions) -> Self {
        let guard = LOADING.lock().unwrap_or_else(|e| e.into_inner());
        let (sender, outputs) = channel();
        let sink = Box::new(move |step| {
            let _ = sender.send(step);
        });
        let engine = Engine::load(options, &mut |_, _| {}, sink).unwrap();
        drop(guard);
        Self { engine, outputs }
    }

    pub fn submit(&self, request: Request) {
        self.engine.submit(request).unwrap();
    }

    pub fn constraint(&self, lark: &str) -> Arc<Grammar> {
        let (sender, answer) = channel();
        let reply = Box::new(move |outcome| sender.send(outcome).unwrap());
        self.engine.compile_constraint(lark, reply);
        answer.recv().unwrap().unwrap()
    }

    /// Collects until `count` requests have ended; `on_step` sees every output.
    pub fn collect(&self, count: usize, mut on_step: impl FnMut(&Output)) -> HashMap<u64, Answer> {
        let mut answers: HashMap<u64, Answer> = HashMap::new();
        let mut ended = 0;
        while ended < count {
            for output in self.outputs.recv().unwrap() {
                on_step(&output);
                let answer = answers.entry(output.id).or_default();
                answer.tokens.extend(output.tokens.iter().map(|t| t.id));
                answer.cached = answer.cached.or(output.cached_tokens);
                if let Some(scores) = output.prompt_logprobs {
                    let scores = scores.iter().map(|s| s.logprob.as_ref().map(|l| l.chosen));
                    answer.scores = Some(scores.collect());
                }
                if let Some(mut end) = output.end {
                    // Clocks differ from run to run; all else is compared.
                    end.timing = None;
                    answer.ends.push(end);
                    ended += 1;
                }
            }
        }
        for (id, answer) in &answers {
            assert_eq!(
                answer.ends.len(),
                1,
                "request {id} ended {} times",
                answer.ends.len()
            );
        }
        answers
    }

    pub fn nothing_is_in_use(&self) {
        // The figures are published after the step that ended the last request.
        for _ in 0..100 {
            let stats = self.engine.counters().scheduler;
            if stats.pages_used == 0 && stats.running == 0 && stats.waiting == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("still in use: {:?}", self.engine.counters().scheduler);
    }
}

pub fn request(id: u64, prompt: Vec<u32>, max_tokens: u32) -> Request {
    Request {
        id,
        prompt,
        params: SamplingParams {
            temperature: 0.0,
            max_tokens,
            ignore_eos: true,
            ..SamplingParams::default()
        },
        thought: None,
        constraint: None,
        cache_salt: Vec::new(),
        priority: 0,
        tenant: 0,
        prompt_logprobs: None,
    }
}

pub fn prompt(n: u64) -> Vec<u32> {
    let length = 3 + (n * 11 % 60) as u32;
    (0..length)
        .map(|t| 3 + (t * 31 + n as u32 * 17) % 250)
        .collect()
}
