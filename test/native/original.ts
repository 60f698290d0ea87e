// A random gpt-oss in OpenAI's own layout with the whole vocabulary, as a release's folder has it; tests of the way through use it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const CONFIG = {
  num_hidden_layers: 2,
  num_experts: 4,
  experts_per_token: 2,
  vocab_size: 201_088,
  hidden_size: 32,
  intermediate_size: 32,
  swiglu_limit: 7.0,
  head_dim: 16,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  sliding_window: 16,
  initial_context_length: 64,
  rope_theta: 150_000,
  rope_scaling_factor: 32.0,
  rope_ntk_alpha: 1,
  rope_ntk_beta: 32,
}

interface Tensor {
  dtype: 'BF16' | 'U8'
  shape: number[]
  data: Uint8Array
}

/** Numbers that look random, the same each time. */
const noise = (seed: number) => {
  let state = seed
  return (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
}

const product = (shape: number[]): number => shape.reduce((all, one) => all * one, 1)

/** bf16 of both signs between 1/8 and 1/2 of `scale`, a power of two. */
const floats = (shape: number[], scale: number): Tensor => {
  const next = noise(product(shape))
  const exponent = 125 + Math.log2(scale)
  const words = Uint16Array.from({ length: product(shape) }, () => {
    const random = next()
    return (
      ((random >>> 31) << 15) | ((exponent - ((random >>> 30) & 1)) << 7) | ((random >>> 16) & 127)
    )
  })
  return { dtype: 'BF16', shape, data: new Uint8Array(words.buffer) }
}

const bytes = (shape: number[], one: (random: number) => number): Tensor => {
  const next = noise(product(shape))
  const data = Uint8Array.from({ length: product(shape) }, () => one(next() >>> 16))
  return { dtype: 'U8', shape, data }
}

const tensors = (): { [name: string]: Tensor } => {
  const { hidden_size: h, intermediate_size: i, num_experts: e, vocab_size: v } = CONFIG
  const q = CONFIG.num_attention_heads * CONFIG.head_dim
  const fused = q + 2 * CONFIG.num_key_value_heads * CONFIG.head_dim
  const found: { [name: string]: Tensor } = {
    'embedding.weight': floats([v, h], 1),
    'norm.scale': floats([h], 2),
    'unembedding.weight': floats([v, h], 1),
  }
  for (let n = 0; n < CONFIG.num_hidden_layers; n++) {
    const add = (name: string, tensor: Tensor) => (found[`block.${n}.${name}`] = tensor)
    add('attn.norm.scale', floats([h], 2))
    add('attn.qkv.weight', floats([fused, h], 0.5))
    add('attn.qkv.bias', floats([fused], 0.5))
    add('attn.sinks', floats([CONFIG.num_attention_heads], 1))
    add('attn.out.weight', floats([h, q], 0.5))
    add('attn.out.bias', floats([h], 0.5))
    add('mlp.norm.scale', floats([h], 2))
    add('mlp.gate.weight', floats([e, h], 1))
    add('mlp.gate.bias', floats([e], 1))
    for (const [name, outputs, inputs] of [
      ['mlp1', 2 * i, h],
      ['mlp2', h, i],
    ] as const) {
      add(
        `mlp.${name}_weight.blocks`,
        bytes([e, outputs, inputs / 32, 16], (random) => random & 255)
      )
      add(
        `mlp.${name}_weight.scales`,
        bytes([e, outputs, inputs / 32], (random) => 122 + (random & 3))
      )
      add(`mlp.${name}_bias`, floats([e, outputs], 0.5))
    }
  }
  return found
}

const safetensors = (named: { [name: string]: Tensor }): Buffer => {
  let end = 0
  const entries = Object.entries(named).map(([name, { dtype, shape, data }]) => {
    const start = end
    end += data.length
    return [name, { dtype, shape, data_offsets: [start, end] }]
  })
  const text = JSON.stringify(Object.fromEntries(entries))
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, ...Object.values(named).map(({ data }) => data)])
}

/** Writes a release of which only `original/` was fetched; the caller removes it with `drop`. */
export const originalModel = (): { path: string; drop: () => void } => {
  const root = mkdtempSync(join(tmpdir(), 'seed-release-'))
  const path = join(root, 'gpt-oss-tiny')
  const folder = join(path, 'original')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'config.json'), JSON.stringify(CONFIG))
  writeFileSync(join(folder, 'dtypes.json'), '{}')
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors()))
  return { path, drop: () => rmSync(root, { recursive: true, force: true }) }
}
