// One side of side-by-side.mjs: this project's engine behind the messages both sides answer.
import { openEngine } from '../dist/native.js'
import { readModelFolder } from '../dist/model.js'

const sampling = (maxTokens, logitBias = []) => ({
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias,
  minTokens: 0,
  maxTokens,
  ignoreEos: true,
  stopTokenIds: [],
  stopStrings: [],
  badWords: [],
  includeStop: false,
})

let engine

const open = async ({ path, threads, context, sequences, guess }) => {
  const { family } = readModelFolder(path)
  engine = await openEngine({
    path,
    dtype: 'auto',
    maxModelLen: context,
    maxSequences: sequences,
    maxBatchedTokens: 512,
    pageSize: 16,
    threads,
    prefixCache: false,
    promptLookup: guess ?? false,
    roundsActivations: true,
    ownThreads: false,
    maxQueue: 64,
    maxQueuedTokens: 1e7,
    controlTokens: family.controlTokens,
    stopTokens: family.stopTokens,
  })
}

/** Seconds until the first token, and from there to the last. */
const one = async (prompt, maxTokens, logitBias) => {
  const started = performance.now()
  let first
  let tokens = 0
  let atFirst = 0
  const request = {
    prompt: Uint32Array.from(prompt),
    sampling: sampling(maxTokens, logitBias),
    priority: 0,
    tenant: 0,
  }
  for await (const output of engine.generate(request)) {
    if (output.tokens.length > 0 && first === undefined) {
      first = performance.now()
      atFirst = output.tokens.length
    }
    tokens += output.tokens.length
  }
  return {
    first: (first - started) / 1000,
    rest: (performance.now() - first) / 1000,
    tokens: tokens - atFirst,
  }
}

const actions = {
  open,
  prefill: async ({ prompts }) => (await one(prompts[0], 1)).first,
  decode: async ({ prompts, tokens, bias }) => {
    const all = await Promise.all(prompts.map((prompt) => one(prompt, tokens + 1, bias)))
    return Math.max(...all.map(({ rest }) => rest))
  },
}

process.on('message', async ({ action, ...args }) => {
  try {
    const seconds = await actions[action](args)
    process.send({ seconds, memory: process.memoryUsage.rss() })
  } catch (error) {
    process.send({ error: error.message })
  }
})
