// Writes GGUF models of random weights with real layer shapes, for the side-by-side benchmarks; both sides read the same file.
import { closeSync, existsSync, openSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** By ggml's number: values in a block and its bytes. */
const TYPES = {
  f32: { number: 0, values: 1, bytes: 4 },
  f16: { number: 1, values: 1, bytes: 2 },
  q4_0: { number: 2, values: 32, bytes: 18 },
  q8_0: { number: 8, values: 32, bytes: 34 },
  q4_k: { number: 12, values: 256, bytes: 144 },
  q6_k: { number: 14, values: 256, bytes: 210 },
  bf16: { number: 30, values: 1, bytes: 2 },
  mxfp4: { number: 39, values: 32, bytes: 17 },
}

const VOCABULARY = 16384
const ALIGNMENT = 32

/** Shapes of the released models with fewer layers and experts: each token reads half a gigabyte. */
const SEED = { hidden: 2048, inner: 11008, layers: 6, heads: 32, kvHeads: 4, headDim: 128 }
const GPT = {
  hidden: 2880,
  inner: 2880,
  layers: 4,
  heads: 64,
  kvHeads: 8,
  headDim: 64,
  experts: 16,
  chosen: 4,
  window: 128,
}

export const MODELS = {
  'gpt-oss-mxfp4': { family: 'gpt-oss', matrices: 'bf16', experts: 'mxfp4' },
  'seed-oss-bf16': { family: 'seed_oss', matrices: 'bf16' },
  'seed-oss-q8_0': { family: 'seed_oss', matrices: 'q8_0' },
  'seed-oss-q4_0': { family: 'seed_oss', matrices: 'q4_0' },
  'seed-oss-q4_k': { family: 'seed_oss', matrices: 'q4_k' },
}

/** 32-bit noise, the same every time (Marsaglia's xorshift). */
const noise = (seed) => {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

const halfOf = (value) => {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0]
  const exponent = ((bits >>> 23) & 255) - 112
  return exponent <= 0 ? 0 : (exponent << 10) | ((bits >>> 13) & 1023)
}

/** One block of random values whose spread is about `scale`. */
const WRITERS = {
  f32: (view, at, scale, next) => view.setFloat32(at, (next() / 2 ** 31 - 1) * scale * 1.7, true),
  f16: (view, at, scale, next) =>
    view.setUint16(at, halfOf(scale) | ((next() & 1) << 15) | (next() & 1023), true),
  bf16: (view, at, scale, next) => {
    view.setFloat32(SCRATCH, (next() / 2 ** 31 - 1) * scale * 1.7, true)
    view.setUint16(at, view.getUint16(SCRATCH + 2, true), true)
  },
  q8_0: (view, at, scale, next) => {
    view.setUint16(at, halfOf(scale / 74), true)
    for (let n = 0; n < 32; n += 4) view.setUint32(at + 2 + n, next() & 0xfefefefe, true)
  },
  q4_0: (view, at, scale, next) => {
    view.setUint16(at, halfOf(scale / 4.6), true)
    for (let n = 0; n < 16; n += 4) view.setUint32(at + 2 + n, next(), true)
  },
  q4_k: (view, at, scale, next) => {
    view.setUint16(at, halfOf(scale / 4.6 / 32), true)
    view.setUint16(at + 2, halfOf((scale / 4.6 / 32) * 7.5), true)
    // All groups: scale 32, minimum 32.
    for (let n = 0; n < 8; n++) view.setUint8(at + 4 + n, 32)
    for (let n = 8; n < 12; n++) view.setUint8(at + 4 + n, 0)
    for (let n = 0; n < 128; n += 4) view.setUint32(at + 16 + n, next(), true)
  },
  q6_k: (view, at, scale, next) => {
    for (let n = 0; n < 192; n += 4) view.setUint32(at + n, next(), true)
    for (let n = 0; n < 16; n++) view.setInt8(at + 192 + n, 64)
    view.setUint16(at + 208, halfOf(scale / 18 / 64), true)
  },
  mxfp4: (view, at, scale, next) => {
    view.setUint8(at, 127 + Math.round(Math.log2(scale / 2.6)))
    for (let n = 0; n < 16; n += 4) view.setUint32(at + 1 + n, next(), true)
  },
}

/** Bytes made at once; the rest of a tensor repeats them from changing places. */
const CHUNK = 1 << 22
const SCRATCH = CHUNK

class Writer {
  parts = []
  bytes(buffer) {
    this.parts.push(buffer)
  }
  u32(value) {
    const buffer = Buffer.alloc(4)
    buffer.writeUInt32LE(value)
    this.bytes(buffer)
  }
  u64(value) {
    const buffer = Buffer.alloc(8)
    buffer.writeBigUInt64LE(BigInt(value))
    this.bytes(buffer)
  }
  f32(value) {
    const buffer = Buffer.alloc(4)
    buffer.writeFloatLE(value)
    this.bytes(buffer)
  }
  string(text) {
    const buffer = Buffer.from(text)
    this.u64(buffer.length)
    this.bytes(buffer)
  }
  key(name, value) {
    this.string(name)
    if (typeof value === 'string') {
      this.u32(8)
      this.string(value)
    } else if (Array.isArray(value)) {
      const texts = typeof value[0] === 'string'
      this.u32(9)
      this.u32(texts ? 8 : 5)
      this.u64(value.length)
      for (const item of value) {
        if (texts) this.string(item)
        else this.u32(item)
      }
    } else if (typeof value === 'object') {
      this.u32(6)
      this.f32(value.float)
    } else {
      this.u32(4)
      this.u32(value)
    }
  }
}

/** A number the file holds as f32. */
const float = (value) => ({ float: value })

/** Control tokens, the 256 bytes in GPT-2's letters, pairs of small letters, and unused rows to the end. */
const vocabulary = (control) => {
  const letters = []
  let extra = 256
  for (let b = 0; b < 256; b++) {
    const printable = (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173
    letters.push(String.fromCodePoint(printable ? b : extra++))
  }
  const small = [...'abcdefghijklmnopqrstuvwxyz']
  const pairs = ['\u0120', ...small].flatMap((a) => small.map((b) => [a, b]))
  const tokens = [...control, ...letters, ...pairs.map(([a, b]) => a + b)]
  const types = tokens.map((_, n) => (n < control.length ? 3 : 1))
  while (tokens.length < VOCABULARY) {
    types.push(5)
    tokens.push(`[unused${tokens.length}]`)
  }
  return { tokens, types, merges: pairs.map(([a, b]) => `${a} ${b}`) }
}

const seedNames =
  'bos pad eos think /think cot_budget_reflect /cot_budget_reflect tool_call /tool_call'
const harmonyNames = 'startoftext endoftext return call end start channel message constrain'

const CONTROL = {
  seed_oss: seedNames
    .split(' ')
    .map((n) => (n[0] === '/' ? `</seed:${n.slice(1)}>` : `<seed:${n}>`)),
  'gpt-oss': harmonyNames.split(' ').map((name) => `<|${name}|>`),
}

const seedTensors = (matrices) => {
  const { hidden, inner, layers, heads, kvHeads, headDim } = SEED
  const [q, kv] = [heads * headDim, kvHeads * headDim]
  const block = (n) => [
    [`blk.${n}.attn_norm.weight`, [hidden], 'f32'],
    [`blk.${n}.post_attention_norm.weight`, [hidden], 'f32'],
    ...[
      ['attn_q', q, hidden, true],
      ['attn_k', kv, hidden, true],
      ['attn_v', kv, hidden, true],
      ['attn_output', hidden, q, false],
      ['ffn_gate', inner, hidden, false],
      ['ffn_up', inner, hidden, false],
      ['ffn_down', hidden, inner, false],
    ].flatMap(([name, rows, columns, bias]) => [
      [`blk.${n}.${name}.weight`, [columns, rows], matrices],
      ...(bias ? [[`blk.${n}.${name}.bias`, [rows], 'f32']] : []),
    ]),
  ]
  return [
    ['token_embd.weight', [hidden, VOCABULARY], matrices],
    ['output.weight', [hidden, VOCABULARY], matrices],
    ['output_norm.weight', [hidden], 'f32'],
    ...Array.from({ length: layers }, (_, n) => block(n)).flat(),
  ]
}

const gptTensors = (matrices, packed) => {
  const { hidden, inner, layers, heads, kvHeads, headDim, experts } = GPT
  const [q, kv] = [heads * headDim, kvHeads * headDim]
  const block = (n) => [
    [`blk.${n}.attn_norm.weight`, [hidden], 'f32'],
    [`blk.${n}.post_attention_norm.weight`, [hidden], 'f32'],
    [`blk.${n}.attn_sinks.weight`, [heads], 'f32'],
    ...[
      ['attn_q', q, hidden],
      ['attn_k', kv, hidden],
      ['attn_v', kv, hidden],
      ['attn_output', hidden, q],
    ].flatMap(([name, rows, columns]) => [
      [`blk.${n}.${name}.weight`, [columns, rows], matrices],
      [`blk.${n}.${name}.bias`, [rows], 'f32'],
    ]),
    [`blk.${n}.ffn_gate_inp.weight`, [hidden, experts], 'f32'],
    [`blk.${n}.ffn_gate_inp.bias`, [experts], 'f32'],
    ...[
      ['ffn_gate_exps', inner, hidden],
      ['ffn_up_exps', inner, hidden],
      ['ffn_down_exps', hidden, inner],
    ].flatMap(([name, rows, columns]) => [
      [`blk.${n}.${name}.weight`, [columns, rows, experts], packed],
      [`blk.${n}.${name}.bias`, [rows, experts], 'f32'],
    ]),
  ]
  return [
    ['token_embd.weight', [hidden, VOCABULARY], matrices],
    ['output.weight', [hidden, VOCABULARY], matrices],
    ['output_norm.weight', [hidden], 'f32'],
    ...Array.from({ length: layers }, (_, n) => block(n)).flat(),
  ]
}

const metadata = (family) => {
  const shape = family === 'gpt-oss' ? GPT : SEED
  const own = (key, value) => [`${family}.${key}`, value]
  const { tokens, types, merges } = vocabulary(CONTROL[family])
  return [
    ['general.architecture', family],
    ['general.alignment', ALIGNMENT],
    own('block_count', shape.layers),
    own('context_length', 131072),
    own('embedding_length', shape.hidden),
    own('feed_forward_length', shape.inner),
    own('attention.head_count', shape.heads),
    own('attention.head_count_kv', shape.kvHeads),
    own('attention.key_length', shape.headDim),
    own('attention.value_length', shape.headDim),
    own('attention.layer_norm_rms_epsilon', float(1e-5)),
    own('rope.freq_base', float(family === 'gpt-oss' ? 150000 : 1e7)),
    ...(family === 'gpt-oss'
      ? [
          own('expert_feed_forward_length', shape.inner),
          own('expert_count', shape.experts),
          own('expert_used_count', shape.chosen),
          own('attention.sliding_window', shape.window),
          own('rope.scaling.type', 'yarn'),
          own('rope.scaling.factor', float(32)),
          own('rope.scaling.original_context_length', 4096),
        ]
      : []),
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', family === 'gpt-oss' ? 'gpt-4o' : 'seed-coder'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.token_type', types],
    ['tokenizer.ggml.merges', merges],
    ['tokenizer.ggml.eos_token_id', 2],
  ]
}

const lengthOf = ([, shape, type]) =>
  (shape.reduce((a, b) => a * b) / TYPES[type].values) * TYPES[type].bytes

const aligned = (n) => Math.ceil(n / ALIGNMENT) * ALIGNMENT

/** Spread of a tensor's values: activations keep their size through the layers. */
const spread = ([name, shape]) => {
  if (name.endsWith('norm.weight')) return 0.5
  if (name.endsWith('bias') || name.includes('sinks')) return 0.1
  return name === 'token_embd.weight' ? 0.5 : 1 / Math.sqrt(shape[0])
}

/** The model's file in `folder`, made where it is not there. */
export const modelFile = (name, folder) => {
  const path = join(folder, `${name}.gguf`)
  if (existsSync(path)) return path
  const { family, matrices, experts } = MODELS[name]
  const tensors = family === 'gpt-oss' ? gptTensors(matrices, experts) : seedTensors(matrices)
  const keys = metadata(family)
  const header = new Writer()
  header.bytes(Buffer.from('GGUF'))
  header.u32(3)
  header.u64(tensors.length)
  header.u64(keys.length)
  for (const [key, value] of keys) header.key(key, value)
  let offset = 0
  for (const tensor of tensors) {
    const [tensorName, shape, type] = tensor
    header.string(tensorName)
    header.u32(shape.length)
    for (const dimension of shape) header.u64(dimension)
    header.u32(TYPES[type].number)
    header.u64(offset)
    offset = aligned(offset + lengthOf(tensor))
  }
  const file = openSync(`${path}.part`, 'w')
  const head = Buffer.concat(header.parts)
  writeSync(file, Buffer.concat([head, Buffer.alloc(aligned(head.length) - head.length)]))
  const next = noise(20260101)
  const chunk = Buffer.alloc(CHUNK + 8)
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
  for (const tensor of tensors) {
    const { bytes } = TYPES[tensor[2]]
    const length = lengthOf(tensor)
    const made = Math.min(length, Math.floor(CHUNK / bytes) * bytes)
    for (let at = 0; at < made; at += bytes) WRITERS[tensor[2]](view, at, spread(tensor), next)
    for (let done = 0; done < length;) {
      // Another start each time, so that no two stretches are alike.
      const skip = (next() % (made / bytes)) * bytes
      const part = Math.min(length - done, made - skip)
      writeSync(file, chunk, skip, part)
      done += part
    }
    writeSync(file, Buffer.alloc(aligned(length) - length))
  }
  closeSync(file)
  renameSync(`${path}.part`, path)
  return path
}
