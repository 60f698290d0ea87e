// Tiny random model folders of both families and a running server over one, for tests of the whole way through.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serve } from '@hono/node-server'
import OpenAI from 'openai'
import { createApp } from '../../src/app.ts'
import type { Family } from '../../src/conversation.ts'
import type { Engine, EngineOptions, Sampling } from '../../src/engine.ts'
import { seedOss } from '../../src/families/seed-oss/index.ts'
import { openEngine } from '../../src/native.ts'
import type { AppSettings, Lifecycle } from '../../src/served.ts'
import { modelSettings } from '../scripted.ts'

const GOLDEN = new URL('../../crates/engine/tests/', import.meta.url)
const TEMPLATE = fileURLToPath(new URL('../fixtures/templates/seed-oss.v2.jinja', import.meta.url))

/** The byte alphabet of GPT-2's byte-level BPE. */
const byteAlphabet = (): string[] => {
  const printable = new Set<number>()
  for (let b = 33; b <= 126; b++) printable.add(b)
  for (let b = 161; b <= 255; b++) if (b !== 173) printable.add(b)
  let shifted = 256
  return Array.from({ length: 256 }, (_, b) =>
    String.fromCodePoint(printable.has(b) ? b : shifted++)
  )
}

const tokenizer = (names: string[]): unknown => {
  const byteLevel = {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: names.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      // As in the released checkpoint, the markers beyond bos, pad and eos are not "special".
      special: id < 3,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteAlphabet().map((letter, b) => [letter, b + names.length])),
      merges: [],
    },
  }
}

/** Writes a folder of random weights for the family; the caller removes it with `drop`. */
export const tinyModel = (
  family: Family = seedOss,
  changes: object = {}
): { path: string; drop: () => void } => {
  const path = mkdtempSync(join(tmpdir(), 'seed-tiny-'))
  const weights = family === seedOss ? 'golden/gqa' : 'golden-gpt-oss'
  cpSync(fileURLToPath(new URL(weights, GOLDEN)), path, { recursive: true })
  cpSync(TEMPLATE, join(path, 'chat_template.jinja'))
  const config = join(path, 'config.json')
  const shape = JSON.parse(readFileSync(config, 'utf8')) as object
  writeFileSync(config, JSON.stringify({ ...shape, ...changes }))
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(tokenizer(family.controlTokens)))
  return { path, drop: () => rmSync(path, { recursive: true, force: true }) }
}

export const engineOptions = (path: string, family: Family): EngineOptions => ({
  path,
  dtype: 'auto',
  roundsActivations: true,
  maxSequences: 32,
  maxBatchedTokens: 256,
  pageSize: 16,
  threads: 2,
  ownThreads: false,
  prefixCache: true,
  promptLookup: true,
  maxQueue: 256,
  maxQueuedTokens: 1_000_000,
  controlTokens: family.controlTokens,
  stopTokens: family.stopTokens,
})

/** Draws from the model's own distribution, the same each time. */
export const DRAW: Sampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 1,
  minTokens: 0,
  maxTokens: 100,
  ignoreEos: false,
  stopTokenIds: [],
  stopStrings: [],
  includeStop: false,
  badWords: [],
}

/** What a model says greedily to a fixed prompt under these options: tokens with their log-probabilities. */
export const greedy = async (
  path: string,
  family: Family,
  more: Partial<EngineOptions> = {}
): Promise<[number, number | undefined][]> => {
  const engine = await openEngine({ ...engineOptions(path, family), ...more })
  const prompt = Uint32Array.from({ length: 40 }, (_, n) => 10 + ((n * 37) % 240))
  const sampling = { ...DRAW, temperature: 0, maxTokens: 24, ignoreEos: true, logprobs: 3 }
  const said: [number, number | undefined][] = []
  for await (const { tokens } of engine.generate({ prompt, sampling, priority: 0, tenant: 0 }))
    said.push(...tokens.map(({ id, logprob }): [number, number | undefined] => [id, logprob]))
  await engine.close()
  return said
}

export const settings: AppSettings = {
  apiKeys: [],
  maxBody: 32 << 20,
  keepAliveSeconds: 15,
  returnTokensAsTokenIds: false,
  forceIncludeUsage: false,
  trustRequestChatTemplate: false,
  allowedOrigins: [],
  watchdog: 120,
  rootPath: '',
  version: '0.0.0',
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} }

export interface Running {
  url: string
  engine: Engine
  lifecycle: Lifecycle
  client: OpenAI
  close(): Promise<void>
}

/** A real server on a real socket over the model folder. */
export const serveFolder = async (
  path: string,
  template: string,
  changes: Partial<EngineOptions> = {},
  family: Family = seedOss
): Promise<Running> => {
  const engine = await openEngine({ ...engineOptions(path, family), ...changes })
  const lifecycle: Lifecycle = {
    names: ['tiny'],
    phase: 'ready',
    progress: 1,
    detail: '',
    model: {
      names: ['tiny'],
      created: 1_700_000_000,
      family,
      template: family.template(template),
      engine,
      defaults: {},
      settings: modelSettings,
    },
  }
  const app = createApp(lifecycle, settings, quiet)
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await new Promise<void>((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    engine,
    lifecycle,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }),
    async close() {
      await new Promise((resolve) => server.close(resolve))
      await engine.close()
    },
  }
}
