//! One small test for each rule of the scheduler; the simulation in `tests/` tries them all together.

use super::*;

fn config() -> SchedulerConfig {
    SchedulerConfig {
        page_size: 4,
        pages: 64,
        groups: vec![LayerGroup { window: None }],
        max_sequences: 8,
        max_batched_tokens: 16,
        max_model_len: 128,
        max_queued_requests: 16,
        max_queued_tokens: 200,
        prefix_cache: true,
        seed: [3; 32],
    }
}

fn scheduler(change: impl FnOnce(&mut SchedulerConfig)) -> Scheduler {
    let mut config = config();
    change(&mut config);
    Scheduler::new(config).unwrap()
}

fn submission(id: u64, prompt: std::ops::Range<u32>) -> Submission {
    Submission {
        id: SequenceId(id),
        prompt: prompt.collect(),
        max_tokens: 8,
        salt: Vec::new(),
        priority: 0,
        tenant: 0,
        reuse_prefix: true,
        prompt_logits: false,
    }
}

/// Outcomes for all entries: each samples `token`.
fn outcomes(step: &Step, token: u32) -> Vec<Outcome> {
    let entries = step.entries.iter();
    entries
        .map(|e| Outcome {
            id: e.id,
            tokens: e.samples.then_some(token).into_iter().collect(),
            ended: false,
        })
        .collect()
}

/// Plans and commits; answers (id, start, rows) of the entries.
fn turn(scheduler: &mut Scheduler) -> Vec<(u64, usize, usize)> {
    let step = scheduler.plan();
    let seen = step
        .entries
        .iter()
        .map(|e| (e.id.0, e.start, e.tokens.len()))
        .collect();
    let outcomes = outcomes(&step, 900);
    scheduler.commit(step, &outcomes);
    seen
}

fn drain(scheduler: &mut Scheduler) {
    for _ in 0..1000 {
        if scheduler.is_idle() {
            return;
        }
        turn(scheduler);
    }
    panic!("it does not come to an end: {:?}", scheduler.stats());
}

#[test]
fn decode_rows_go_first_and_prompts_share_what_is_left_of_the_budget() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..5)).unwrap();
    assert_eq!(turn(&mut s), [(1, 0, 5)]);
    s.submit(submission(2, 100..130)).unwrap();
    s.submit(submission(3, 200..203)).unwrap();
    assert_eq!(turn(&mut s), [(1, 5, 1), (2, 0, 15)]);
    assert_eq!(turn(&mut s), [(1, 6, 1), (2, 15, 15)]);
    assert_eq!(turn(&mut s), [(1, 7, 1), (2, 30, 1), (3, 0, 3)]);
}

#[test]
fn a_known_prefix_is_skipped_but_one_token_is_always_forwarded() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..8)).unwrap();
    turn(&mut s);
    s.submit(submission(2, 0..8)).unwrap();
    let step = s.plan();
    let entry = step.entries.iter().find(|e| e.id.0 == 2).unwrap();
    assert_eq!((entry.start, entry.context, entry.cached_tokens), (4, 8, 4));
    assert_eq!(entry.page_tables[0][0], step.entries[0].page_tables[0][0]);
    s.commit(step, &[]);
    assert_eq!((s.stats().prefix_queries, s.stats().prefix_hits), (16, 4));
}

#[test]
fn generated_pages_are_found_by_the_next_turn_of_a_conversation() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..4)).unwrap();
    drain(&mut s);
    // 4 prompt tokens and 8 generated ones, of which 7 were forwarded: two full pages.
    let mut next = submission(2, 0..4);
    next.prompt.extend([900; 10]);
    s.submit(next).unwrap();
    assert_eq!(s.plan().entries[0].cached_tokens, 8);
}

#[test]
fn salts_and_wanted_prompt_logits_keep_prefixes_apart() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..9)).unwrap();
    turn(&mut s);
    let mut salted = submission(2, 0..9);
    salted.salt = vec![1];
    s.submit(salted).unwrap();
    let mut scored = submission(3, 0..9);
    (scored.reuse_prefix, scored.prompt_logits) = (false, true);
    s.submit(scored).unwrap();
    let step = s.plan();
    assert_eq!(step.entries[1].start, 0);
    assert_eq!(
        (step.entries[2].start, step.entries[2].logits_from),
        (0, Some(0))
    );
    assert_eq!(step.entries[0].logits_from, None);
    s.commit(step, &[]);
}

#[test]
fn a_half_computed_page_is_not_found() {
    let mut s = scheduler(|c| c.max_batched_tokens = 6);
    s.submit(submission(1, 0..12)).unwrap();
    let step = s.plan();
    s.submit(submission(2, 0..12)).unwrap();
    let other = s.plan();
    assert_eq!((other.entries[0].id.0, other.entries[0].start), (2, 0));
    s.commit(
        step,
        &[Outcome {
            id: SequenceId(1),
            tokens: vec![],
            ended: false,
        }],
    );
    s.submit(submission(3, 0..12)).unwrap();
    s.cancel(SequenceId(1));
    let third = s.plan();
    assert_eq!((third.entries[0].id.0, third.entries[0].start), (3, 4));
    s.commit(other, &[]);
    s.commit(third, &[]);
}

#[test]
fn the_newest_is_preempted_waits_in_front_and_ends_with_the_same_tokens() {
    let mut s = scheduler(|c| (c.pages, c.prefix_cache) = (6, false));
    s.submit(submission(1, 0..8)).unwrap();
    s.submit(submission(2, 100..107)).unwrap();
    s.submit(submission(3, 200..207)).unwrap();
    let mut preempted = Vec::new();
    for _ in 0..7 {
        let step = s.plan();
        preempted.extend(step.preempted.iter().map(|id| id.0));
        let outcomes = outcomes(&step, 900);
        s.commit(step, &outcomes);
    }
    assert_eq!(preempted, [2]);
    assert_eq!((s.stats().running, s.stats().waiting), (1, 2));
    turn(&mut s);
    assert_eq!(s.queue.head(), Some(SequenceId(2)));
    let step = s.plan();
    assert_eq!(step.entries[0].id.0, 2);
    assert!(
        step.entries[0]
            .tokens
            .starts_with(&[100, 101, 102, 103, 104, 105, 106, 900])
    );
    s.commit(step, &[]);
    drain(&mut s);
}

#[test]
fn pages_of_a_cancelled_sequence_wait_for_the_step_that_writes_them() {
    let mut s = scheduler(|c| c.pages = 4);
    s.submit(submission(1, 0..8)).unwrap();
    let step = s.plan();
    assert!(s.cancel(SequenceId(1)));
    assert!(!s.cancel(SequenceId(1)));
    assert_eq!(s.stats().pages_used, 2);
    assert!(!s.is_idle());
    s.commit(
        step,
        &[Outcome {
            id: SequenceId(1),
            tokens: vec![5],
            ended: false,
        }],
    );
    assert_eq!((s.stats().pages_used, s.stats().pages_free), (0, 4));
    assert!(s.is_idle());
}

#[test]
fn a_window_gives_pages_back_as_it_moves_on() {
    let mut s = scheduler(|c| c.groups.push(LayerGroup { window: Some(4) }));
    s.submit(submission(1, 0..14)).unwrap();
    turn(&mut s);
    let step = s.plan();
    let tables = &step.entries[0].page_tables;
    assert_eq!(tables[1][..2], [u32::MAX; 2]);
    assert!(
        tables[0]
            .iter()
            .chain(&tables[1][2..])
            .all(|&page| page != u32::MAX)
    );
    s.commit(step, &[]);
    assert_eq!((s.stats().pages_used, s.stats().pages_cached), (6, 2));
}

#[test]
fn an_entry_without_outcome_is_planned_again() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..5)).unwrap();
    let step = s.plan();
    s.commit(step, &[]);
    assert_eq!(turn(&mut s), [(1, 0, 5)]);
}

#[test]
fn forced_tokens_are_forwarded_together() {
    let mut s = scheduler(|_| {});
    s.submit(submission(1, 0..5)).unwrap();
    let step = s.plan();
    s.commit(
        step,
        &[Outcome {
            id: SequenceId(1),
            tokens: vec![7, 8, 9],
            ended: false,
        }],
    );
    let step = s.plan();
    assert_eq!(
        (step.entries[0].tokens.as_slice(), step.entries[0].samples),
        ([7, 8, 9].as_slice(), true)
    );
    s.commit(step, &[]);
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut s = scheduler(|c| (c.max_queued_requests, c.pages) = (3, 8));
    let refused = |s: &mut Scheduler, submission| s.submit(submission).unwrap_err();
    assert_eq!(refused(&mut s, submission(1, 0..0)), Refusal::Empty);
    assert!(matches!(
        refused(&mut s, submission(1, 0..125)),
        Refusal::TooLong {
            prompt: 125,
            limit: 128,
            ..
        }
    ));
    assert_eq!(
        refused(&mut s, submission(1, 0..26)),
        Refusal::NeverFits {
            needed: 9,
            pages: 8
        }
    );
    s.submit(submission(1, 0..25)).unwrap();
    assert_eq!(refused(&mut s, submission(1, 0..2)), Refusal::DuplicateId);
    s.submit(submission(2, 0..2)).unwrap();
    s.submit(submission(3, 0..2)).unwrap();
    assert_eq!(
        refused(&mut s, submission(4, 0..2)),
        Refusal::QueueFull { waiting: 3 }
    );
    s.config.max_queued_requests = 9;
    s.config.max_queued_tokens = 30;
    assert_eq!(
        refused(&mut s, submission(4, 0..2)),
        Refusal::TokensFull {
            waiting: 29,
            limit: 30
        }
    );
    s.cancel(SequenceId(1));
    s.submit(submission(4, 0..2)).unwrap();
}

#[test]
fn a_long_prompt_is_taken_when_nothing_waits() {
    let mut s = scheduler(|c| c.max_queued_tokens = 3);
    s.submit(submission(1, 0..20)).unwrap();
    drain(&mut s);
}

#[test]
fn a_useless_configuration_is_refused_with_its_name() {
    let mut config = config();
    config.groups.push(LayerGroup { window: Some(0) });
    let error = Scheduler::new(config).unwrap_err();
    assert_eq!(error.to_string(), "a window must be 1 or more");
}

#[test]
fn a_bound_on_prompts_holds_only_beside_decoding() {
    let mut scheduler = scheduler(|_| {});
    scheduler.bound_prompts(3);
    scheduler.submit(submission(1, 0..10)).unwrap();
    assert_eq!(
        turn(&mut scheduler),
        [(1, 0, 10)],
        "nobody waits for a token"
    );
    scheduler.submit(submission(2, 100..110)).unwrap();
    assert_eq!(turn(&mut scheduler), [(1, 10, 1), (2, 0, 3)]);
    assert_eq!(turn(&mut scheduler), [(1, 11, 1), (2, 3, 3)]);
    scheduler.bound_prompts(usize::MAX);
    assert_eq!(turn(&mut scheduler), [(1, 12, 1), (2, 6, 4)]);
}

/// Commits a step in which each sampling entry brings these tokens.
fn bring(scheduler: &mut Scheduler, tokens: &[u32]) -> Vec<(u64, usize, usize)> {
    let step = scheduler.plan();
    let entries = step.entries.iter();
    let seen = entries.map(|e| (e.id.0, e.start, e.tokens.len())).collect();
    let outcomes: Vec<Outcome> = outcomes(&step, 0)
        .into_iter()
        .map(|o| Outcome {
            tokens: o.tokens.iter().flat_map(|_| tokens).copied().collect(),
            ..o
        })
        .collect();
    scheduler.commit(step, &outcomes);
    seen
}

#[test]
fn forced_tokens_share_one_step_and_go_before_prompts() {
    let mut s = scheduler(|_| {});
    s.bound_prompts(2);
    s.submit(submission(1, 0..3)).unwrap();
    assert_eq!(bring(&mut s, &[7, 8, 9]), [(1, 0, 3)]);
    s.submit(submission(2, 100..110)).unwrap();
    // Three rows at once, though prompts are bounded to two beside decoding.
    assert_eq!(bring(&mut s, &[7]), [(1, 3, 3), (2, 0, 2)]);
    assert_eq!(bring(&mut s, &[7, 8, 9]), [(1, 6, 1), (2, 2, 2)]);
    // The bound on generated tokens cuts a run.
    assert_eq!(bring(&mut s, &[7, 8, 9]), [(1, 7, 3), (2, 4, 2)]);
    assert_eq!(s.stats().running, 1);
}

#[test]
fn long_forced_runs_are_paced_like_prompts() {
    let mut s = scheduler(|c| c.max_batched_tokens = 100);
    s.bound_prompts(10);
    let run: Vec<u32> = (0..50).collect();
    s.submit(Submission {
        max_tokens: 100,
        ..submission(1, 0..3)
    })
    .unwrap();
    assert_eq!(bring(&mut s, &run), [(1, 0, 3)]);
    s.submit(submission(2, 100..104)).unwrap();
    assert_eq!(
        bring(&mut s, &[7]),
        [(1, 3, 50), (2, 0, 4)],
        "nobody waits for a token"
    );
    assert_eq!(bring(&mut s, &run), [(1, 53, 1), (2, 4, 1)]);
    assert!(s.stats().running < 2 || bring(&mut s, &[7]).len() == 2);
}
