// Wrong turns that readers of both families have taken, as edits of our own arithmetic: what tools/mutations/run.mjs
// builds in and test/mutations.test.ts keeps applicable.

/**
 * @typedef {object} WrongTurn
 * @property {string} name what went wrong, in words
 * @property {string} file the source, from the root of the repository
 * @property {string} find an expression that occurs there once
 * @property {string} replace the expression that takes its place
 * @property {string[]} fails tests that must fail then, as `binary::test`
 */

const ENGINE = 'crates/engine/src/'
const KERNELS = 'crates/kernels/src/'
const SEED = 'golden::one_chunk'
const GPT = 'golden_gpt_oss::packed_experts'
const BOTH = [SEED, GPT]

/** @type {(file: string, fails: string[], turns: [string, string, string][]) => WrongTurn[]} */
const at = (file, fails, turns) =>
  turns.map(([name, find, replace]) => ({ name, file, find, replace, fails }))

/** Rows of gates and ups as they come, put in another order before the activation reads them in pairs. */
const reordered = (pairs) => ACTIVATION.replace('wide', `&${pairs}.collect::<Vec<f32>>()`)

const ACTIVATION = 'Linear::multiply_grouped(&down, self.activated(wide), None, &mut narrow)'

export const WRONG_TURNS = [
  ...at(`${ENGINE}ops/rope.rs`, BOTH, [
    [
      'rope interleaved',
      'cpu::rope(x, tokens, heads, head_dim, &self.cos, &self.sin)',
      `for row in 0..tokens * heads {
        for i in 0..head_dim / 2 {
          let (at, angle) = (row * head_dim + 2 * i, row / heads * (head_dim / 2) + i);
          let (a, b, c, s) = (x[at], x[at + 1], self.cos[angle], self.sin[angle]);
          (x[at], x[at + 1]) = (a * c - b * s, b * c + a * s);
        }
      }`,
    ],
    [
      'rope turned backwards',
      '(position as f32 * inverse).sin_cos()',
      '(-(position as f32 * inverse)).sin_cos()',
    ],
  ]),
  ...at(
    `${ENGINE}ops/rope.rs`,
    [GPT],
    [
      ['YaRN without its factor', '(0.1 * scaling.factor.ln() + 1.0) as f32', '1.0'],
      ['YaRN rounded', 'scaling.truncate', 'true'],
      ['YaRN ignored', 'plain / scaling.factor * ramp + plain * (1.0 - ramp)', 'plain'],
      [
        'YaRN stretching every frequency',
        '((i as f64 - low) / (high - low)).clamp(0.0, 1.0)',
        '1.0_f64',
      ],
    ]
  ),
  ...at(`${ENGINE}model/attention.rs`, [GPT], [['sinks dropped', 'self.sinks.as_deref()', 'None']]),
  ...at(`${ENGINE}model/attention.rs`, BOTH, [
    ['keys not rotated', 'Some(context.rotation)', 'None'],
    [
      'values rotated',
      'attention.write(values, &v, None)?',
      'attention.write(values, &v, Some(context.rotation))?',
    ],
  ]),
  ...at(`${KERNELS}cpu/attend.rs`, BOTH, [
    [
      'query heads tiled over KV heads',
      'self.kv_head * shape.group() + i % shape.group()',
      'i % shape.group() * shape.kv_heads + self.kv_head',
    ],
    [
      'later positions seen',
      'shape.first_seen(position)..position + 1',
      'shape.first_seen(position)..self.span.context',
    ],
  ]),
  ...at(
    `${KERNELS}cpu/attention.rs`,
    [GPT],
    [
      [
        'window one wider',
        '(position + 1).saturating_sub(window)',
        'position.saturating_sub(window)',
      ],
      [
        'window one narrower',
        '(position + 1).saturating_sub(window)',
        '(position + 2).saturating_sub(window)',
      ],
    ]
  ),
  ...at(
    `${ENGINE}model/gpt_oss.rs`,
    [GPT],
    [
      ['no window', 'shape(Some(config.window))', 'shape(None)'],
      ['layer parity swapped', 'config.slides[layer]', '!config.slides[layer]'],
      ['scores not scaled', '(config.head_dim as f32).powf(-0.5)', '1.0'],
      [
        'no router bias',
        'reader.linear(&name("mlp.router"), Shard::Whole, true)?',
        'reader.linear(&name("mlp.router"), Shard::Whole, false)?',
      ],
      [
        'no biases on q, k and v',
        'SelfAttention::read(reader, &name("self_attn"), (true, true), true)?',
        'SelfAttention::read(reader, &name("self_attn"), (false, true), true)?',
      ],
      [
        'no bias on the output of attention',
        'SelfAttention::read(reader, &name("self_attn"), (true, true), true)?',
        'SelfAttention::read(reader, &name("self_attn"), (true, false), true)?',
      ],
      ['experts fed without their norm', 'layer.post_attention_norm.forward(&x)?', 'x.clone()'],
      ['no last norm', 'self.norm.forward(&x.index_select(&rows, 0)?)', 'x.index_select(&rows, 0)'],
    ]
  ),
  ...at(`${ENGINE}model/reader.rs`, [GPT], [['no expert biases', 'Some(bias.to_vec())', 'None']]),
  ...at(
    `${ENGINE}ops/moe.rs`,
    [GPT],
    [
      [
        'softmax before top-k',
        'order.iter().map(|&e| (logits[e] - best).exp()).sum()',
        'logits.iter().map(|l| (l - best).exp()).sum()',
      ],
      ['experts averaged', '(logits[expert] - best).exp() / sum', '1.0 / self.chosen as f32'],
      ['experts added unweighted', 'v * weight', '*v'],
      [
        'worst experts chosen',
        'logits[b].total_cmp(&logits[a])',
        'logits[a].total_cmp(&logits[b])',
      ],
      [
        'gate and up swapped',
        ACTIVATION,
        reordered('wide.chunks_exact(2).flat_map(|p| [p[1], p[0]])'),
      ],
      [
        'gate and up in halves',
        ACTIVATION,
        reordered(`wide.chunks_exact(outputs).flat_map(|row| {
        let (gates, ups) = row.split_at(row.len() / 2);
        gates.iter().zip(ups).flat_map(|(gate, up)| [*gate, *up])
      })`),
      ],
      ['slope of the gate 1', 'self.alpha', '1.0'],
    ]
  ),
  ...at(
    `${KERNELS}cpu/scalar.rs`,
    [GPT],
    [
      ['gate not cut', 'if pair[0] > limit { limit } else { pair[0] }', 'pair[0]'],
      ['up not cut', 'pair[1].clamp(-limit, limit) + 1.0', 'pair[1] + 1.0'],
      ['up cut above only', 'pair[1].clamp(-limit, limit) + 1.0', 'pair[1].min(limit) + 1.0'],
      ['up without its one', 'pair[1].clamp(-limit, limit) + 1.0', 'pair[1].clamp(-limit, limit)'],
    ]
  ),
  ...at(`${ENGINE}ops/norm.rs`, BOTH, [
    ['eps times ten', 'Self { weight, eps }', 'Self { weight, eps: eps * 10.0 }'],
    [
      'one added to the gain',
      'Self { weight, eps }',
      'Self { weight: weight.iter().map(|w| w + 1.0).collect(), eps }',
    ],
  ]),
  ...at(
    `${KERNELS}format/mxfp4.rs`,
    [GPT],
    [
      ['nibbles swapped', 'PAIRS[usize::from(byte)]', 'PAIRS[usize::from(byte.rotate_left(4))]'],
      ['scales off by one', 'u32::from(scale) << 23', '(u32::from(scale) + 1) << 23'],
    ]
  ),
  ...at(
    `${ENGINE}weights/safetensors.rs`,
    ['golden_gpt_oss::dequantised_experts'],
    [
      [
        'dequantised experts not transposed',
        '(input * outputs + output) * size',
        '(output * inputs + input) * size',
      ],
    ]
  ),
  ...at(
    `${ENGINE}model/seed_oss.rs`,
    [SEED],
    [
      [
        'scores scaled by hidden / heads',
        '(config.head_dim as f32).powf(-0.5)',
        '(config.hidden as f32 / config.heads as f32).powf(-0.5)',
      ],
      [
        'base of the rotation 10,000',
        'Rope::plain(config.rope_theta, config.head_dim)',
        'Rope::plain(10_000.0, config.head_dim)',
      ],
      ['gate and up swapped, Seed-OSS', 'Source::Gated(&gate, &up)', 'Source::Gated(&up, &gate)'],
      [
        'no biases on q, k and v, Seed-OSS',
        'SelfAttention::read(reader, &name("self_attn"), (qkv, out), false)?',
        'SelfAttention::read(reader, &name("self_attn"), (false, out), false)?',
      ],
      [
        'no bias on the output of attention, Seed-OSS',
        'SelfAttention::read(reader, &name("self_attn"), (qkv, out), false)?',
        'SelfAttention::read(reader, &name("self_attn"), (qkv, false), false)?',
      ],
      [
        'no bias in the feed-forward layer',
        'reader.linear(&name("mlp.down_proj"), row, mlp)?',
        'reader.linear(&name("mlp.down_proj"), row, false)?',
      ],
      ['the first norm used twice', '&layer.post_attention_norm', '&layer.input_norm'],
      [
        'no last norm, Seed-OSS',
        'self.norm.forward(&x.index_select(&rows, 0)?)',
        'x.index_select(&rows, 0)',
      ],
    ]
  ),
]
