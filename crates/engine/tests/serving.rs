//! The whole engine on a tiny checkpoint: crowds equal solo runs, cancels free everything, failures stay alone.

mod server;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use seed_engine::engine::Engine;
use seed_engine::request::{End, RefusalKind};
use seed_engine::sampling::Finish;
use server::*;

/// `pages` is a pool far too small for all of them, so that preemption and recompute happen as well.
fn thirty_two_together_equal_thirty_two_alone(path: PathBuf, page: u64, pages: u64) {
    let mut solo_options = options(path.clone());
    solo_options.prefix_cache = false;
    let solo = Server::start(&solo_options);
    let mut alone = HashMap::new();
    for id in 1..=32 {
        solo.submit(request(id, prompt(id), 40));
        alone.extend(solo.collect(1, |_| {}));
    }
    let mut crowd_options = options(path);
    crowd_options.kv_cache = Some(page * pages);
    let crowd = Server::start(&crowd_options);
    for id in 1..=32 {
        crowd.submit(request(id, prompt(id), 40));
    }
    let together = crowd.collect(32, |_| {});
    for id in 1..=32 {
        assert_eq!(together[&id].tokens, alone[&id].tokens, "request {id}");
        assert_eq!(together[&id].tokens.len(), 40);
    }
    assert!(
        crowd.engine.counters().scheduler.preemptions > 0,
        "the pool was meant to run out"
    );
    crowd.nothing_is_in_use();
    println!(
        "crowd: 32 of 32 equal their solo run, {} preemptions",
        crowd.engine.counters().scheduler.preemptions
    );
}

#[test]
fn a_crowd_on_seed_oss_equals_solo_runs() {
    // Keys and values of 3 layers, 2 heads, 8 positions, 32 wide, in bf16.
    let page = 2 * 3 * 2 * 8 * 32 * 2;
    thirty_two_together_equal_thirty_two_alone(folder("crowd"), page, 80);
}

/// Half of the layers slide over 24 positions: a context of 1024 is planned, and served, in little more than half of
/// the pages that all layers would hold.
#[test]
fn the_longest_context_of_a_small_cache_is_served() {
    let path = folder_of("golden-gpt-oss", "longest-gpt-oss");
    let page = 2 * 2 * 2 * 8 * 16 * 2;
    let long: Vec<u32> = (0..1000).map(|t| 3 + t * 31 % 250).collect();
    let mut roomy = options(path);
    roomy.max_model_len = Some(1024);
    let answer = |options: &_| {
        let server = Server::start(options);
        server.submit(request(1, long.clone(), 24));
        let answers = server.collect(1, |_| {});
        server.nothing_is_in_use();
        (answers, server.engine.counters().scheduler.preemptions)
    };
    let expected = answer(&roomy);
    let mut small = roomy.clone();
    // Of 128 pages each and one to grow into, the sliding layers hold 24 positions' and a step's.
    small.kv_cache = Some(page * (128 + 1 + 4 + 8 + 1));
    assert_eq!(answer(&small), expected);
    small.kv_cache = small.kv_cache.map(|bytes| bytes - 1);
    let sink = Box::new(|_| {});
    let refused = Engine::load(&small, &mut |_, _| {}, sink).err().unwrap();
    assert!(
        refused.to_string().contains("set --max-model-len 1016"),
        "{refused}"
    );
}

/// Half of the layers slide over 24 positions, so their pages come and go and are shared on their own terms.
#[test]
fn a_crowd_on_gpt_oss_equals_solo_runs() {
    let page = 2 * 2 * 2 * 8 * 16 * 2;
    let path = folder_of("golden-gpt-oss", "crowd-gpt-oss");
    thirty_two_together_equal_thirty_two_alone(path, page, 140);
}

/// Guesses change how many steps it takes and nothing else, greedy or sampled, alone or in a crowd.
#[test]
fn prompt_lookup_changes_no_token() {
    for (case, name) in [
        ("golden/gqa", "lookup"),
        ("golden-gpt-oss", "lookup-gpt-oss"),
    ] {
        let mut options = options(folder_of(case, name));
        let mut runs = Vec::new();
        for prompt_lookup in [false, true] {
            options.prompt_lookup = prompt_lookup;
            let server = Server::start(&options);
            for id in 1..=6 {
                // A text that repeats itself, and for half of them a temperature; the seed is the request's.
                let prompt = (0..60).map(|t| 3 + (t % 7) * (id as u32 + 2)).collect();
                let mut request = request(id, prompt, 70);
                // Two tokens to choose from, so that guesses come true now and then.
                request.params.allowed_token_ids = Some(vec![50, 51]);
                if id % 2 == 0 {
                    request.params.temperature = 0.6;
                    request.params.seed = Some(id as _);
                    request.params.logprobs = Some(2);
                }
                server.submit(request);
            }
            let answers = server.collect(6, |_| {});
            server.nothing_is_in_use();
            runs.push((answers, server.engine.counters()));
        }
        let [(plain, before), (guessed, after)] = &runs[..] else {
            unreachable!()
        };
        for id in 1..=6u64 {
            assert_eq!(guessed[&id].tokens, plain[&id].tokens, "request {id}");
            assert_eq!(guessed[&id].ends, plain[&id].ends);
        }
        assert_eq!(after.generated_tokens, before.generated_tokens);
        assert!(
            after.steps < before.steps,
            "no guess came true: {} against {} steps",
            after.steps,
            before.steps
        );
    }
}

#[test]
fn a_gguf_file_generates_what_its_safetensors_do() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-gguf");
    for (file, case, eos) in [
        ("gpt-oss.gguf", "golden-gpt-oss", "<|return|>"),
        ("seed_oss-00001-of-00003.gguf", "golden/gqa", "<seed:eos>"),
    ] {
        let answers = [
            (tests.join(file), eos),
            (folder_of(case, "twin"), "<seed:eos>"),
        ]
        .map(|(path, eos)| {
            let mut options = options(path);
            options.stop_tokens = vec![eos.into()];
            let server = Server::start(&options);
            server.submit(request(1, prompt(5), 60));
            server.collect(1, |_| {}).remove(&1).unwrap().tokens
        });
        assert_eq!(answers[0], answers[1], "{file}");
        assert!(answers[0].len() > 3);
    }
}

#[test]
fn a_shared_prefix_is_found_for_sliding_layers_too() {
    let server = Server::start(&options(folder_of("golden-gpt-oss", "prefix-gpt-oss")));
    let shared: Vec<u32> = (0..90).map(|t| 3 + t * 5 % 250).collect();
    server.submit(request(1, shared.clone(), 60));
    let first = server.collect(1, |_| {}).remove(&1).unwrap();
    server.submit(request(2, shared.clone(), 60));
    let second = server.collect(1, |_| {}).remove(&2).unwrap();
    assert!(
        second.cached.is_some_and(|n| n >= 64),
        "{:?}",
        second.cached
    );
    assert_eq!(second.tokens, first.tokens);
    // The conversation goes on: its whole history is found again.
    let longer = [shared, first.tokens[..40].to_vec()].concat();
    server.submit(request(3, longer, 20));
    let third = server.collect(1, |_| {}).remove(&3).unwrap();
    assert!(third.cached.is_some_and(|n| n >= 112), "{:?}", third.cached);
    assert_eq!(third.tokens, first.tokens[40..]);
    server.nothing_is_in_use();
}

#[test]
fn survivors_of_random_aborts_equal_their_solo_run() {
    let server = Server::start(&options(folder("aborts")));
    let mut alone = HashMap::new();
    for id in 1..=32 {
        server.submit(request(id, prompt(id), 50));
        alone.extend(server.collect(1, |_| {}));
    }
    for id in 101..=132 {
        server.submit(request(id, prompt(id - 100), 50));
    }
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let together = server.collect(32, |output| {
        let count = seen.entry(output.id).or_default();
        *count += output.tokens.len();
        if output.id % 3 == 0 && *count >= (output.id % 40) as usize {
            server.engine.cancel(output.id);
        }
    });
    let mut survivors = 0;
    for id in 101..=132u64 {
        let (have, want) = (&together[&id], &alone[&(id - 100)]);
        if have.ends[0].end == End::Cancelled {
            assert_eq!(id % 3, 0);
            assert_eq!(have.tokens, want.tokens[..have.tokens.len()]);
        } else {
            survivors += 1;
            assert_eq!(have.tokens, want.tokens, "request {id}");
        }
    }
    assert!(survivors >= 21);
    server.nothing_is_in_use();
}

#[test]
fn a_shared_prefix_is_found_and_changes_nothing() {
    let server = Server::start(&options(folder("prefix")));
    let shared: Vec<u32> = (0..50).map(|t| 3 + t * 5 % 250).collect();
    server.submit(request(1, shared.clone(), 20));
    let first = server.collect(1, |_| {}).remove(&1).unwrap();
    assert_eq!(first.cached, Some(0));
    server.submit(request(2, shared.clone(), 20));
    let second = server.collect(1, |_| {}).remove(&2).unwrap();
    assert_eq!(second.cached, Some(48));
    assert_eq!(second.tokens, first.tokens);
    let mut salted = request(3, shared, 20);
    salted.cache_salt = b"someone else".to_vec();
    server.submit(salted);
    let third = server.collect(1, |_| {}).remove(&3).unwrap();
    assert_eq!(third.cached, Some(0));
    assert_eq!(third.tokens, first.tokens);
}

#[test]
fn prompt_scores_do_not_depend_on_chunks() {
    let tokens: Vec<u32> = (0..150).map(|t| 3 + t * 7 % 250).collect();
    let mut scores = Vec::new();
    for batched in [16, 64, 256] {
        let mut narrow = options(folder(&format!("scores-{batched}")));
        narrow.max_batched_tokens = batched;
        let server = Server::start(&narrow);
        let mut scored = request(1, tokens.clone(), 0);
        scored.prompt_logprobs = Some(3);
        server.submit(scored);
        let answer = server.collect(1, |_| {}).remove(&1).unwrap();
        assert_eq!(answer.tokens, Vec::<u32>::new());
        assert_eq!(answer.ends[0].end, End::Finished(Finish::Length));
        assert_eq!(answer.ends[0].generated, 0);
        scores.push(answer.scores.unwrap());
    }
    assert_eq!(scores[0].len(), 150);
    assert_eq!(scores[0][0], None);
    assert!(scores[0][1..].iter().all(|s| s.is_some_and(|s| s <= 0.0)));
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0], scores[2]);
}

/// Evaluation harnesses ask for one token along with the prompt's scores, and read only the scores.
#[test]
fn prompt_scores_are_the_same_beside_generated_tokens() {
    let server = Server::start(&options(folder("scores-beside")));
    let mut scores = Vec::new();
    for (id, max_tokens) in [(1, 0), (2, 1), (3, 4)] {
        let mut scored = request(id, prompt(5), max_tokens);
        scored.prompt_logprobs = Some(1);
        server.submit(scored);
        let answer = server.collect(1, |_| {}).remove(&id).unwrap();
        assert_eq!(answer.tokens.len(), max_tokens as usize);
        scores.push(answer.scores.unwrap());
    }
    assert!(scores[0][1..].iter().all(Option::is_some));
    assert_eq!(scores[0], scores[1]);
    assert_eq!(scores[0], scores[2]);
}

#[test]
fn refusals_are_sentences() {
    let server = Server::start(&options(folder("refusals")));
    let mut bad = vec![
        (request(1, vec![], 5), RefusalKind::Invalid),
        (request(2, vec![5000], 5), RefusalKind::Invalid),
        (request(3, vec![3; 256], 5), RefusalKind::TooLong),
    ];
    let mut hot = request(4, vec![3], 5);
    hot.params.temperature = f32::NAN;
    bad.push((hot, RefusalKind::Invalid));
    for (request, kind) in bad {
        let id = request.id;
        server.submit(request);
        let answer = server.collect(1, |_| {}).remove(&id).unwrap();
        match &answer.ends[0].end {
            End::Refused(reason) => {
                assert_eq!(reason.kind, kind, "{}", reason.message);
                assert!(reason.message.len() > 10);
            }
            other => panic!("request {id}: {other:?}"),
        }
    }
    server.nothing_is_in_use();
}

#[test]
fn non_finite_logits_fail_one_request_alone() {
    let path = folder("nan");
    poison(&path, 77);
    let server = Server::start(&options(path));
    let clean = || (0..20).map(|t| 3 + t % 50).collect::<Vec<u32>>();
    server.submit(request(1, clean(), 30));
    let alone = server.collect(1, |_| {}).remove(&1).unwrap();
    let mut bad = clean();
    bad[10] = 77;
    server.submit(request(2, clean(), 30));
    server.submit(request(3, bad, 30));
    server.submit(request(4, clean(), 30));
    let answers = server.collect(3, |_| {});
    match &answers[&3].ends[0].end {
        End::Failed(reason) => assert!(reason.contains("non-finite"), "{reason}"),
        other => panic!("{other:?}"),
    }
    for id in [2, 4] {
        assert_eq!(answers[&id].tokens, alone.tokens);
    }
    server.nothing_is_in_use();
}

/// Makes one row of the embedding NaN.
fn poison(folder: &Path, token: usize) {
    for file in [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ] {
        let path = folder.join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        if let Some(info) = metadata.info("model.embed_tokens.weight") {
            let width = info.shape[1] * 2;
            let start = 8 + header + info.data_offsets.0 + token * width;
            for pair in bytes[start..start + width].chunks_exact_mut(2) {
                pair.copy_from_slice(&half::bf16::NAN.to_le_bytes());
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn a_panic_fails_live_requests_and_marks_the_engine_dead() {
    let server = {
        let path = options(folder("panic"));
        let guard = LOADING.lock().unwrap_or_else(|e| e.into_inner());
        // SAFETY: engines read the variable only while LOADING is held.
        unsafe { std::env::set_var("SEED_ENGINE_PANIC_AT_STEP", "5") };
        let (sender, outputs) = channel();
        let sink = Box::new(move |step| {
            let _ = sender.send(step);
        });
        let engine = Engine::load(&path, &mut |_, _| {}, sink).unwrap();
        // SAFETY: as above.
        unsafe { std::env::remove_var("SEED_ENGINE_PANIC_AT_STEP") };
        drop(guard);
        Server { engine, outputs }
    };
    server.submit(request(1, prompt(1), 30));
    server.submit(request(2, prompt(2), 30));
    let answers = server.collect(2, |_| {});
    for id in [1, 2] {
        match &answers[&id].ends[0].end {
            End::Failed(reason) => assert!(reason.contains("internal error"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(server.engine.counters().dead.is_some());
    let refused = server.engine.submit(request(3, prompt(3), 5)).unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Unavailable);
}

#[test]
fn closing_cancels_what_is_left() {
    let server = Server::start(&options(folder("close")));
    server.submit(request(1, prompt(1), 200));
    server.submit(request(2, prompt(2), 200));
    server.engine.close();
    let answers = server.collect(2, |_| {});
    for id in [1, 2] {
        assert_eq!(answers[&id].ends[0].end, End::Cancelled);
    }
    assert!(server.engine.submit(request(3, prompt(3), 5)).is_err());
}
