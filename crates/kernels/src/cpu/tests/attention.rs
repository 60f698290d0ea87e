//! Properties of paged attention and of the writing of the cache.

use half::bf16;

use super::super::attention::paged_attention_at;
use super::super::{Angles, AttentionShape, KvBlock, KvElement, Span, rope, write_kv};
use super::{Level, Values, assert_close, bits, levels, on_threads};

/// One sequence with its keys and values in shuffled pages whose unused slots are NaN.
struct Sequence<E> {
    shape: AttentionShape,
    context: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    sinks: Option<Vec<f32>>,
    pages: Vec<u32>,
    keys: Vec<E>,
    values: Vec<E>,
}

impl<E: KvElement> Sequence<E> {
    fn new(values: &mut Values, shape: AttentionShape, context: usize, sinks: bool) -> Self {
        let q = values.floats(context * shape.heads * shape.head_dim);
        let kv = context * shape.kv_heads * shape.head_dim;
        // Exact in bf16, so that one reference serves both element types.
        let mut row = || -> Vec<f32> {
            let floats = values.floats(kv);
            floats
                .into_iter()
                .map(|v| bf16::from_f32(v * 2.0).to_f32())
                .collect()
        };
        let (k, v) = (row(), row());
        let sinks = sinks.then(|| values.floats(shape.heads));
        let used = context.div_ceil(shape.page_size);
        let mut pages: Vec<u32> = (0..used as u32 + 3).collect();
        for i in (1..pages.len()).rev() {
            pages.swap(i, values.below(i + 1));
        }
        let held = shape.head_dim / E::HOLDS;
        let size = pages.len() * shape.kv_heads * shape.page_size * held;
        pages.truncate(used);
        let mut nan = [E::ZERO];
        E::put(&vec![f32::NAN; E::HOLDS], &mut nan);
        let [nan] = nan;
        let mut all = Self {
            shape,
            context,
            q,
            k,
            v,
            sinks,
            pages,
            keys: vec![nan; size],
            values: vec![nan; size],
        };
        let span = Span {
            first_row: 0,
            len: context,
            context,
            page_table: &all.pages,
        };
        write_kv(&mut all.keys, &all.k, None, &shape, &[span]);
        write_kv(&mut all.values, &all.v, None, &shape, &[span]);
        // What the cache keeps of them.
        for row in [&mut all.k, &mut all.v].map(|rows| rows.chunks_exact_mut(shape.head_dim)) {
            for row in row {
                let mut kept = vec![E::ZERO; held];
                E::put(row, &mut kept);
                E::widen(&kept, row);
            }
        }
        all
    }

    /// Attention of the rows from `from` to `to` as one span.
    fn run(&self, level: Level, from: usize, to: usize) -> Vec<f32> {
        let width = self.shape.heads * self.shape.head_dim;
        let mut pages = self.pages.clone();
        // What lies behind the window must not even be looked up.
        pages[..self.shape.first_seen(from) / self.shape.page_size].fill(u32::MAX);
        let span = Span {
            first_row: 0,
            len: to - from,
            context: to,
            page_table: &pages,
        };
        let mut out = vec![0.0; (to - from) * width];
        let q = &self.q[from * width..to * width];
        let sinks = self.sinks.as_deref();
        paged_attention_at(
            level,
            q,
            &self.keys,
            &self.values,
            &self.shape,
            &[span],
            sinks,
            &mut out,
        );
        out
    }

    fn reference(&self) -> Vec<f64> {
        let AttentionShape {
            heads,
            kv_heads,
            head_dim,
            scale,
            ..
        } = self.shape;
        let mut out = Vec::new();
        for position in 0..self.context {
            for head in 0..heads {
                let q = &self.q[(position * heads + head) * head_dim..][..head_dim];
                let slot = |p: usize| (p * kv_heads + head / (heads / kv_heads)) * head_dim;
                let seen = self.shape.first_seen(position)..position + 1;
                let score = |p: usize| {
                    let k = &self.k[slot(p)..][..head_dim];
                    q.iter()
                        .zip(k)
                        .map(|(&q, &k)| q as f64 * k as f64)
                        .sum::<f64>()
                        * scale as f64
                };
                let weights: Vec<f64> = seen.clone().map(|p| score(p).exp()).collect();
                let sink = self
                    .sinks
                    .as_ref()
                    .map_or(0.0, |sinks| (sinks[head] as f64).exp());
                let total = weights.iter().sum::<f64>() + sink;
                out.extend((0..head_dim).map(|d| {
                    let sum = seen
                        .clone()
                        .zip(&weights)
                        .map(|(p, w)| w * self.v[slot(p) + d] as f64);
                    sum.sum::<f64>() / total
                }));
            }
        }
        out
    }
}

fn shape(
    (heads, kv_heads): (usize, usize),
    head_dim: usize,
    page_size: usize,
    window: Option<usize>,
) -> AttentionShape {
    let scale = (head_dim as f32).powf(-0.5) * 2.0;
    AttentionShape {
        heads,
        kv_heads,
        head_dim,
        page_size,
        scale,
        window,
        rounds: false,
    }
}

/// Shapes that between them touch every branch.
fn shapes() -> Vec<(AttentionShape, usize, bool)> {
    vec![
        (shape((1, 1), 16, 16, None), 1, false),
        (shape((2, 2), 24, 16, None), 33, true),
        (shape((4, 2), 40, 8, None), 70, false),
        (shape((5, 1), 80, 16, Some(7)), 61, true),
        (shape((8, 1), 64, 16, Some(128)), 300, true),
        (shape((10, 1), 128, 16, None), 90, false),
        (shape((16, 2), 64, 32, Some(1)), 40, true),
        (shape((3, 3), 20, 5, Some(9)), 47, false),
        (shape((2, 1), 32, 16, None), 1200, true),
        (shape((2, 1), 48, 600, None), 1250, false),
    ]
}

/// `rounds`: in products of bf16 where the CPU has them, further from the reference.
fn check<E: KvElement>(seed: u64, rounds: bool) {
    let mut values = Values(seed);
    let tolerance = if rounds { 3e-2 } else { 1e-5 };
    let shapes = shapes().into_iter();
    for (shape, context, sinks) in shapes.filter(|(shape, ..)| shape.head_dim % E::HOLDS == 0) {
        let shape = AttentionShape { rounds, ..shape };
        let sequence = Sequence::<E>::new(&mut values, shape, context, sinks);
        let want = sequence.reference();
        let width = shape.heads * shape.head_dim;
        for level in levels() {
            let what = format!("{level:?} {shape:?} context {context}");
            let whole = sequence.run(level, 0, context);
            assert_close(&whole, &want, tolerance, &what);
            let one = on_threads(1, || sequence.run(level, 0, context));
            let two = on_threads(2, || sequence.run(level, 0, context));
            assert_eq!(bits(&whole), bits(&one), "{what}");
            assert_eq!(bits(&whole), bits(&two), "{what}");
            let mut from = 0;
            while from < context {
                let to = context.min(from + 1 + values.below(40));
                let chunk = sequence.run(level, from, to);
                let rows = from * width..to * width;
                assert_eq!(bits(&chunk), bits(&whole[rows]), "{what} rows {from}..{to}");
                from = to;
            }
            // The last rows alone, on more threads, so that their segments are split.
            for from in context.saturating_sub(2)..context {
                let last = on_threads(5, || sequence.run(level, from, from + 1));
                assert_eq!(
                    bits(&last),
                    bits(&whole[from * width..][..width]),
                    "{what} row {from}"
                );
            }
        }
    }
}

#[test]
fn f32_cache_agrees_whole_chunked_and_threaded() {
    check::<f32>(21, false);
}

#[test]
fn bf16_cache_agrees_whole_chunked_and_threaded() {
    check::<bf16>(22, false);
}

#[test]
fn a_cache_of_eight_bits_agrees_whole_chunked_and_threaded() {
    check::<KvBlock>(28, false);
}

#[test]
fn rounded_products_agree_whole_chunked_and_threaded() {
    check::<bf16>(26, true);
    check::<KvBlock>(29, true);
}

#[test]
fn eight_bits_lose_little_and_nothing_of_zeros() {
    let mut values = Values(30);
    let round_trip = |row: &[f32]| {
        let mut kept = [KvBlock::ZERO; 2];
        KvBlock::put(row, &mut kept);
        let mut back = vec![1f32; 64];
        KvBlock::widen(&kept, &mut back);
        back
    };
    for size in [1e-30, 1.0, 3e36] {
        let row: Vec<f32> = values.floats(64).iter().map(|v| v * size).collect();
        let back = round_trip(&row);
        for (row, back) in row.chunks(32).zip(back.chunks(32)) {
            let most = row.iter().fold(0f32, |most, v| most.max(v.abs()));
            for (a, b) in row.iter().zip(back) {
                // Half a step, of scales that are rounded up by less than a 128th.
                assert!(
                    (a - b).abs() <= most / 254.0 * (1.0 + 1.0 / 128.0),
                    "{a} {b}"
                );
            }
        }
    }
    assert_eq!(round_trip(&[0.0; 64]), [0.0; 64]);
    assert_eq!(round_trip(&[1e-42; 64]), [0.0; 64]);
    // What is no number spoils its block alone.
    for bad in [f32::NAN, f32::INFINITY] {
        let mut row = vec![1.0; 64];
        row[40] = bad;
        let back = round_trip(&row);
        assert!(back[..32].iter().all(|v| (v - 1.0).abs() < 0.01));
        assert!(back[32..].iter().all(|v| v.is_nan()), "{bad}");
    }
}

#[test]
#[should_panic(expected = "attention: heads of 48 are no whole blocks of 32")]
fn heads_of_no_whole_blocks_are_refused() {
    let shape = shape((1, 1), 48, 16, None);
    write_kv::<KvBlock>(&mut [], &[], None, &shape, &[]);
}

/// As far as rounding goes: what is exact in bf16 stays exact.
#[test]
fn rounded_products_of_exact_numbers_are_exact() {
    let shape = AttentionShape {
        scale: 0.0,
        rounds: true,
        ..shape((10, 1), 128, 16, None)
    };
    // All weights are 1, and after 2^n positions so is what they are divided by.
    let sequence = Sequence::<bf16>::new(&mut Values(27), shape, 256, false);
    for level in levels() {
        let row = sequence.run(level, 255, 256);
        for (d, have) in row[..128].iter().enumerate() {
            let sum: f64 = (0..256).map(|p| f64::from(sequence.v[p * 128 + d])).sum();
            assert!((f64::from(*have) - sum / 256.0).abs() < 1e-6, "{level:?}");
        }
    }
}

#[test]
fn sequences_do_not_know_each_other() {
    for rounds in [false, true] {
        let shape = shape((6, 2), 48, 16, Some(50));
        two_sequences(AttentionShape { rounds, ..shape });
    }
}

fn two_sequences(shape: AttentionShape) {
    let mut values = Values(23);
    let width = shape.heads * shape.head_dim;
    let first = Sequence::<bf16>::new(&mut values, shape, 77, true);
    let second = Sequence::<bf16>::new(&mut values, shape, 130, true);
    // One cache that holds the pages of both, one batch with rows of both, out of order.
    let shift = (first.keys.len() / (shape.kv_heads * shape.page_size * shape.head_dim)) as u32;
    let pages: Vec<u32> = second.pages.iter().map(|page| page + shift).collect();
    let keys = [&first.keys[..], &second.keys].concat();
    let cached = [&first.values[..], &second.values].concat();
    let q = [&second.q[100 * width..], &first.q[76 * width..]].concat();
    let spans = [
        Span {
            first_row: 30,
            len: 1,
            context: 77,
            page_table: &first.pages,
        },
        Span {
            first_row: 0,
            len: 30,
            context: 130,
            page_table: &pages,
        },
    ];
    for level in levels() {
        let mut out = vec![f32::NAN; 31 * width];
        let sinks = first.sinks.as_deref();
        paged_attention_at(level, &q, &keys, &cached, &shape, &spans, sinks, &mut out);
        assert_eq!(bits(&out[30 * width..]), bits(&first.run(level, 76, 77)));
        let alone = Sequence {
            sinks: first.sinks.clone(),
            ..second.clone()
        }
        .run(level, 100, 130);
        assert_eq!(bits(&out[..30 * width]), bits(&alone));
    }
}

impl<E: KvElement> Clone for Sequence<E> {
    fn clone(&self) -> Self {
        Self {
            shape: self.shape,
            context: self.context,
            q: self.q.clone(),
            k: self.k.clone(),
            v: self.v.clone(),
            sinks: self.sinks.clone(),
            pages: self.pages.clone(),
            keys: self.keys.clone(),
            values: self.values.clone(),
        }
    }
}

#[test]
fn extreme_scores_stay_finite() {
    let shape = shape((2, 1), 16, 16, None);
    let mut sequence = Sequence::<f32>::new(&mut Values(24), shape, 40, true);
    sequence.q.iter_mut().for_each(|q| *q *= 1e4);
    for level in levels() {
        assert!(
            sequence.run(level, 0, 40).iter().all(|v| v.is_finite()),
            "{level:?}"
        );
    }
}

#[test]
fn a_poisoned_query_stays_alone() {
    let shape = shape((2, 1), 16, 16, None);
    let mut sequence = Sequence::<f32>::new(&mut Values(25), shape, 40, false);
    sequence.q[5 * 32 + 3] = f32::NAN;
    for level in levels() {
        let out = sequence.run(level, 0, 40);
        let bad: Vec<usize> = (0..80).filter(|head| out[head * 16].is_nan()).collect();
        assert_eq!(bad, [10], "{level:?}");
    }
}

#[test]
#[should_panic(expected = "attention: page 9 is outside the cache of 2")]
fn unknown_pages_are_refused() {
    let shape = shape((1, 1), 16, 16, None);
    let span = Span {
        first_row: 0,
        len: 1,
        context: 1,
        page_table: &[9],
    };
    write_kv(&mut [0f32; 512], &[0.0; 16], None, &shape, &[span]);
}

#[test]
#[should_panic(expected = "attention: two spans share a row")]
fn shared_rows_are_refused() {
    let shape = shape((1, 1), 16, 16, None);
    let span = Span {
        first_row: 0,
        len: 1,
        context: 1,
        page_table: &[0],
    };
    write_kv(&mut [0f32; 512], &[0.0; 16], None, &shape, &[span, span]);
}

#[test]
fn rows_that_are_rotated_on_their_way_are_those_that_were_rotated_before() {
    let mut values = Values(31);
    let shape = shape((4, 2), 40, 8, None);
    let k = values.floats(9 * 2 * 40);
    let (cos, sin) = (values.floats(9 * 20), values.floats(9 * 20));
    let span = Span {
        first_row: 0,
        len: 9,
        context: 13,
        page_table: &[1, 0],
    };
    let mut before = k.clone();
    rope(&mut before, 9, 2, 40, &cos, &sin);
    let (mut want, mut have) = (vec![0f32; 2 * 2 * 8 * 40], vec![0f32; 2 * 2 * 8 * 40]);
    write_kv(&mut want, &before, None, &shape, &[span]);
    let angles = Angles {
        cos: &cos,
        sin: &sin,
    };
    write_kv(&mut have, &k, Some(angles), &shape, &[span]);
    assert_eq!(bits(&have), bits(&want));
    assert_ne!(before, k);
}
