//! The scheduler under 10⁵ random schedules: submit, plan, forward, commit, cancel, fail, in any order.
//!
//! `world.rs` plays the engine and remembers what lies in every page, `client.rs` is a request, `audit.rs` holds the
//! invariants that are checked after each action, `line.rs` is a second opinion on who goes next. One seed is one schedule, so a failure is
//! repeated by its number.

mod audit;
mod client;
mod figures;
mod line;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use figures::Figures;
use world::World;

const SCHEDULES: u64 = 100_000;
/// Schedules that are run again and again with page allocation failing at every n-th place.
const FAILING_SCHEDULES: u64 = 100;

/// SplitMix64: small, seeded, good enough to choose by.
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0 .. n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n as u64) as usize
    }

    /// A number in `from ..= to`.
    pub fn between(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from + 1)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Runs one schedule to its end; allocation fails at every n-th place until the last requests are drained.
fn run(seed: u64, fail_every: Option<u64>) -> Figures {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, fail_every);
        for _ in 0..world.random.between(10, 70) {
            world.act();
        }
        world.drain();
        world.figures
    }));
    result.unwrap_or_else(|panic| {
        eprintln!("schedule {seed} with fail_every {fail_every:?} broke an invariant");
        resume_unwind(panic)
    })
}

/// Shares the seeds `0 .. count` among threads; what a seed does depends on nothing else.
fn share(count: u64, work: impl Fn(u64) -> Figures + Sync) -> Figures {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let work = &work;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || {
                    let mut figures = Figures::default();
                    let seeds = (first..count).step_by(threads as usize);
                    seeds.for_each(|seed| figures.add(&work(seed)));
                    figures
                })
            })
            .collect();
        let mut figures = Figures::default();
        for thread in all {
            figures.add(&thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        figures
    })
}

#[test]
fn a_hundred_thousand_random_schedules_keep_every_invariant() {
    let figures = share(SCHEDULES, |seed| run(seed, None));
    println!("simulation: {figures}");
    // Without these the schedules would not have tried what they are for.
    assert!(figures.preemptions > SCHEDULES / 10, "{figures}");
    assert!(figures.hit_tokens > SCHEDULES, "{figures}");
    assert!(figures.cancelled_in_flight > SCHEDULES / 100, "{figures}");
    assert!(figures.retried > SCHEDULES / 10, "{figures}");
    assert!(figures.guessed_right > SCHEDULES, "{figures}");
    assert!(
        figures.guessed > figures.guessed_right + SCHEDULES,
        "{figures}"
    );
}

#[test]
fn allocation_may_fail_at_every_nth_place() {
    let figures = share(FAILING_SCHEDULES, |seed| {
        // From failing always to failing once, at each place where this schedule takes a page.
        let places = run(seed, None).takes;
        let mut figures = Figures::default();
        (1..=places).for_each(|n| figures.add(&run(seed, Some(n))));
        figures
    });
    println!("failing allocation: {figures}");
    assert!(figures.schedules > 10 * FAILING_SCHEDULES, "{figures}");
}
