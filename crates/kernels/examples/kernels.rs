//! Prints what the kernels reach on this machine beside what its memory and its multipliers allow;
//! for whoever tunes them: `cargo run --release -p seed-kernels --example kernels [linear|int8|attention|rows]`.
//!
//! Every figure is a median of several runs over matrices far larger than the caches, and by CPU time,
//! so that neighbours who take turns on the cores count less. They still share the memory: bandwidth
//! and peak are taken again at the end, and where they moved by more than a tenth, run it again.

use std::hint::black_box;
use std::time::Instant;

use half::{bf16, f16};
use rayon::prelude::*;
use seed_kernels::cpu::{
    AttentionShape, BlockFormat, KvBlock, KvElement, Level, Span, Tiled, Weights, encode_mxfp4,
    linear, linear_bf16, linear_int8, paged_attention, rms_norm, silu_mul,
};

const RUNS: usize = 7;

/// Seconds that this process's threads have spent on a CPU; wall time where the system does not say.
fn cpu_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += stat.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}

/// Median seconds of a run after one to warm up, first on the wall clock, then as CPU time spread over
/// all threads: what the wall clock would show if no one else used the machine.
fn median(mut run: impl FnMut()) -> (f64, f64) {
    run();
    let threads = rayon::current_num_threads() as f64;
    let (mut wall, mut quiet): (Vec<f64>, Vec<f64>) = (0..RUNS)
        .map(|_| {
            let (start, before) = (Instant::now(), cpu_seconds());
            run();
            let wall = start.elapsed().as_secs_f64();
            let cpu = before.zip(cpu_seconds()).map(|(a, b)| (b - a) / threads);
            (wall, cpu.unwrap_or(wall))
        })
        .unzip();
    wall.sort_by(f64::total_cmp);
    quiet.sort_by(f64::total_cmp);
    (wall[RUNS / 2], quiet[RUNS / 2])
}

/// GB/s of reading everything once: an exclusive or over all words, on all threads.
fn read_bandwidth(words: &[u64]) -> f64 {
    let seconds = median(|| {
        let total = words.par_chunks(1 << 17).map(|words| {
            let mut lanes = [0u64; 64];
            for words in words.chunks_exact(64) {
                lanes
                    .iter_mut()
                    .zip(words)
                    .for_each(|(lane, word)| *lane ^= word);
            }
            lanes.iter().fold(0, |a, b| a ^ b)
        });
        black_box(total.reduce(|| 0, |a, b| a ^ b));
    });
    size_of_val(words) as f64 / seconds.1 / 1e9
}

/// GFLOP/s of fused multiply-adds that touch no memory, on all threads.
fn peak() -> f64 {
    const ROUNDS: usize = 4_000_000;
    let threads = rayon::current_num_threads();
    let lanes = if Level::current() == Level::Avx512 {
        16
    } else {
        8
    };
    let seconds = median(|| {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            #[cfg(target_arch = "x86_64")]
            match Level::current() {
                // SAFETY: the level says that the CPU has the features.
                Level::Avx512 => unsafe { x86::multiply_avx512(ROUNDS) },
                // SAFETY: as above.
                Level::Avx2 => unsafe { x86::multiply_avx2(ROUNDS) },
                Level::Scalar => {}
            }
        });
    });
    (2 * 12 * lanes * ROUNDS * threads) as f64 / seconds.1 / 1e9
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub fn multiply_avx512(rounds: usize) {
        let mut acc = [_mm512_set1_ps(1.0); 12];
        let (a, b) = std::hint::black_box((_mm512_set1_ps(0.5), _mm512_set1_ps(0.5)));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_fmadd_ps(*acc, a, b);
            }
        }
        std::hint::black_box(acc);
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn multiply_avx2(rounds: usize) {
        let mut acc = [_mm256_set1_ps(1.0); 12];
        let (a, b) = std::hint::black_box((_mm256_set1_ps(0.5), _mm256_set1_ps(0.5)));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm256_fmadd_ps(*acc, a, b);
            }
        }
        std::hint::black_box(acc);
    }
}

/// Values in -1..1 without pattern enough to matter.
fn noise(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761) as i32 as f32 / (1u32 << 31) as f32)
        .collect()
}

/// Products with one matrix `[n, k]` at several m, with ratios to one row.
fn products(
    name: &str,
    (n, k): (usize, usize),
    bytes: usize,
    (bandwidth, peak): (f64, f64),
    multiply: impl Fn(&[f32], usize, &mut [f32]),
) {
    println!("\n{name} [{n}, {k}], {} MiB", bytes >> 20);
    let mut one = 0.0;
    for m in [1, 2, 4, 8, 16, 32, 64, 128, 512] {
        let x = noise(m * k);
        let mut y = vec![0f32; m * n];
        let (wall, seconds) = median(|| multiply(&x, m, black_box(&mut y)));
        if m == 1 {
            one = seconds;
        }
        let (read, flops) = (
            bytes as f64 / seconds / 1e9,
            (2 * m * k * n) as f64 / seconds / 1e9,
        );
        println!(
            "  m = {m:3}: {:7.2} ms ({:7.2} by the wall), {read:5.1} GB/s ({:3.0} %), {flops:6.1} GFLOP/s ({:3.0} %), {:5.2} x the rows of m = 1",
            seconds * 1e3,
            wall * 1e3,
            100.0 * read / bandwidth,
            100.0 * flops / peak,
            m as f64 * one / seconds,
        );
    }
}

/// Attention over a cache of at least 64 M elements, sequences side by side.
fn attention<E: KvElement>(
    name: &str,
    shape: &AttentionShape,
    sequences: usize,
    context: usize,
    len: usize,
    peak: f64,
) {
    let each = context / shape.page_size;
    let elements = sequences * each * shape.kv_heads * shape.page_size * shape.head_dim;
    let mut keys = vec![E::ZERO; elements / E::HOLDS];
    E::put(&noise(elements), &mut keys);
    let values = keys.clone();
    // Pages lie scattered, as they do after a while of traffic.
    let pages: Vec<u32> = (0..sequences * each)
        .map(|i| (i * 7919 % (sequences * each)) as u32)
        .collect();
    let spans: Vec<Span<'_>> = pages
        .chunks(each)
        .enumerate()
        .map(|(i, page_table)| Span {
            first_row: i * len,
            len,
            context,
            page_table,
        })
        .collect();
    let q = noise(sequences * len * shape.heads * shape.head_dim);
    let mut out = vec![0f32; q.len()];
    let (wall, seconds) =
        median(|| paged_attention(&q, &keys, &values, shape, &spans, None, black_box(&mut out)));
    let seen = sequences * (0..len).map(|row| context - row).sum::<usize>();
    let flops = (4 * seen * shape.heads * shape.head_dim) as f64 / seconds / 1e9;
    let read = (2 * size_of_val(&keys[..])) as f64 / seconds / 1e9;
    println!(
        "  {name}: {:7.2} ms ({:7.2} by the wall), {read:5.1} GB/s, {flops:6.1} GFLOP/s ({:3.0} %)",
        seconds * 1e3,
        wall * 1e3,
        100.0 * flops / peak,
    );
}

fn run() {
    let words: Vec<u64> = (0..(1u64 << 26)).collect();
    let (bandwidth, peak_before) = (read_bandwidth(&words), peak());
    println!(
        "{:?}, {} threads",
        Level::current(),
        rayon::current_num_threads()
    );
    println!(
        "read {bandwidth:.1} GB/s of {} MiB, FMA peak {peak_before:.0} GFLOP/s",
        words.len() >> 17
    );

    let part = std::env::args().nth(1).unwrap_or_default();
    if matches!(part.as_str(), "" | "linear") {
        linear_part((bandwidth, peak_before));
    }
    if matches!(part.as_str(), "" | "int8") {
        int8_part((bandwidth, peak_before));
    }
    if matches!(part.as_str(), "" | "attention") {
        attention_part::<bf16>("bf16 cache, f32", peak_before, false);
        attention_part::<bf16>("bf16 cache, products of bf16", peak_before, true);
        attention_part::<KvBlock>("cache of eight bits, f32", peak_before, false);
        attention_part::<KvBlock>("cache of eight bits, products of bf16", peak_before, true);
    }
    if matches!(part.as_str(), "" | "rows") {
        rows_part();
    }
    println!(
        "\nagain: read {:.1} GB/s, FMA peak {:.0} GFLOP/s",
        read_bandwidth(&words),
        peak()
    );
}

fn linear_part(limits: (f64, f64)) {
    let (n, k) = (32_768, 4096);
    let base = noise(n * k);
    let plain = |name: &str, w: Weights<'_>, bytes: usize| {
        let multiply = |x: &[f32], m: usize, y: &mut [f32]| linear(x, m, k, w, n, None, y);
        products(name, (n, k), bytes, limits, multiply);
    };
    let w: Vec<bf16> = base.iter().map(|&v| bf16::from_f32(v)).collect();
    plain("bf16", Weights::Bf16(&w), 2 * n * k);
    products("bf16, rounded", (n, k), 2 * n * k, limits, |x, m, y| {
        linear_bf16(x, m, k, &w, n, None, y);
    });
    let w: Vec<f16> = base.iter().map(|&v| f16::from_f32(v)).collect();
    plain("f16", Weights::F16(&w), 2 * n * k);
    plain("f32", Weights::F32(&base), 4 * n * k);
}

/// Products of eight bits, which have four times the peak of f32's.
fn int8_part(limits: (f64, f64)) {
    let (n, k) = (16_384, 4096);
    let base = noise(n * k);
    let tiled = |name: &str, w: Weights<'_>| {
        if let Some(w) = Tiled::of(w, n, k) {
            let bytes = w.as_bytes().len();
            let multiply = |x: &[f32], m: usize, y: &mut [f32]| linear_int8(x, m, &w, None, y);
            products(name, (n, k), bytes, limits, multiply);
        }
    };
    for format in BlockFormat::ALL {
        let bytes = &format.encode(&base).unwrap_or_default();
        if !bytes.is_empty() {
            tiled(format.name(), Weights::Blocks { format, bytes });
        }
    }
    let (blocks, scales) = &encode_mxfp4(&base);
    tiled("MXFP4", Weights::Mxfp4 { blocks, scales });
}

fn attention_part<E: KvElement>(way: &str, peak_before: f64, rounds: bool) {
    println!("\nattention, pages of 16, {way}");
    let seed = AttentionShape {
        heads: 80,
        kv_heads: 8,
        head_dim: 128,
        page_size: 16,
        scale: 0.1,
        window: None,
        rounds,
    };
    attention::<E>(
        "80/8 x 128, one row of 65536     ",
        &seed,
        1,
        65_536,
        1,
        peak_before,
    );
    attention::<E>(
        "80/8 x 128, 16 rows of 4096 each ",
        &seed,
        16,
        4096,
        1,
        peak_before,
    );
    attention::<E>(
        "80/8 x 128, 512 rows of 1024     ",
        &seed,
        1,
        1024,
        512,
        peak_before,
    );
    attention::<E>(
        "80/8 x 128, 512 rows of 8192     ",
        &seed,
        1,
        8192,
        512,
        peak_before,
    );
    let gpt = AttentionShape {
        heads: 64,
        head_dim: 64,
        ..seed
    };
    attention::<E>(
        "64/8 x 64,  16 rows of 8192 each ",
        &gpt,
        16,
        8192,
        1,
        peak_before,
    );
    attention::<E>(
        "64/8 x 64,  512 rows of 1024     ",
        &gpt,
        1,
        1024,
        512,
        peak_before,
    );
}

fn rows_part() {
    let (rows, width) = (8192, 5120);
    let (x, weight) = (noise(rows * width), noise(width));
    let mut out = vec![0f32; rows * width];
    let (_, seconds) = median(|| rms_norm(&x, &weight, 1e-6, black_box(&mut out)));
    println!(
        "\nrms_norm {:.1} GB/s read and written",
        (8 * rows * width) as f64 / seconds / 1e9
    );
    let (_, seconds) = median(|| silu_mul(&x, &x, black_box(&mut out)));
    println!(
        "silu_mul {:.1} GB/s read and written",
        (8 * rows * width) as f64 / seconds / 1e9
    );
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .expect("a thread pool");
    pool.install(run);
}
