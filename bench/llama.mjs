// The other side of side-by-side.mjs: llama.cpp by node-llama-cpp, from the folder where the benchmark installed it.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

let model
let context
let sequences

const open = async ({ path, threads, context: length, sequences: count, install }) => {
  const require = createRequire(pathToFileURL(`${install}/package.json`))
  const { getLlama, LlamaLogLevel } = await import(
    pathToFileURL(require.resolve('node-llama-cpp')).href
  )
  const llama = await getLlama({
    build: 'never',
    skipDownload: true,
    gpu: false,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  })
  model = await llama.loadModel({ modelPath: path })
  context = await model.createContext({
    contextSize: length,
    sequences: count,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
    flashAttention: true,
  })
  sequences = Array.from({ length: count }, () => context.getSequence())
}

/** Seconds from the first new token to the last. */
const one = async (sequence, prompt, tokens) => {
  let first
  let count = 0
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    first ??= performance.now()
    if (++count > tokens) break
  }
  return (performance.now() - first) / 1000
}

const actions = {
  open,
  prefill: async ({ prompts }) => {
    await sequences[0].clearHistory()
    const started = performance.now()
    for await (const _ of sequences[0].evaluate(prompts[0], {
      temperature: 0,
      yieldEogToken: true,
    }))
      break
    return (performance.now() - started) / 1000
  },
  decode: async ({ prompts, tokens }) => {
    await Promise.all(sequences.map((sequence) => sequence.clearHistory()))
    const all = prompts.map((prompt, n) => one(sequences[n], prompt, tokens))
    return Math.max(...(await Promise.all(all)))
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
