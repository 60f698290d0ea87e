// Prefill and decode of this engine and llama.cpp (node-llama-cpp) on the same GGUF files, in turns, medians of the ratios.
//
// npm run bench:peer -- [--models a,b] [--pairs 5] [--threads 2] [--prompt 512] [--tokens 64] [--sequences 1,8,16]
//   [--folder DIR] [--json FILE]
import { execFileSync, fork } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { MODELS, modelFile } from './models.mjs'

/** Pinned: a figure is worth something only with the version it was measured against. */
const PEER = 'node-llama-cpp@3.22.1'

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: Object.keys(MODELS).join(',') },
    pairs: { type: 'string', default: '5' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    prompt: { type: 'string', default: '512' },
    tokens: { type: 'string', default: '64' },
    sequences: { type: 'string', default: '1,8,16' },
    folder: { type: 'string', default: join(tmpdir(), 'seed-bench') },
    json: { type: 'string' },
  },
})
const [pairs, threads, promptLength, tokens] = [
  values.pairs,
  values.threads,
  values.prompt,
  values.tokens,
].map(Number)
const crowds = values.sequences.split(',').map(Number)

mkdirSync(values.folder, { recursive: true })
const install = join(values.folder, 'peer')
if (!existsSync(join(install, 'node_modules/node-llama-cpp'))) {
  mkdirSync(install, { recursive: true })
  writeFileSync(join(install, 'package.json'), '{"private":true}')
  process.stderr.write(`installing ${PEER}\n`)
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', PEER], {
    cwd: install,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

const side = (script) => {
  const child = fork(new URL(script, import.meta.url), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ask = (message) =>
    new Promise((resolve, reject) => {
      const gone = (code) => reject(new Error(`${script} ended with ${code}`))
      child.once('exit', gone)
      child.once('message', (answer) => {
        child.off('exit', gone)
        if (answer.error) reject(new Error(`${script}: ${answer.error}`))
        else resolve(answer)
      })
      child.send(message)
    })
  return { ask, close: () => child.kill() }
}

/** A prompt nobody has seen: no cache can help. */
let fresh = 0
const prompt = (length) => {
  fresh += 1
  return Array.from({ length }, (_, n) => 20 + ((n * 7919 + fresh * 104729) % 900))
}

const median = (list) => {
  const sorted = list.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const results = []
const sequences = Math.max(...crowds)
for (const name of values.models.split(',')) {
  const path = modelFile(name, values.folder)
  const [ours, theirs] = [side('./ours.mjs'), side('./llama.mjs')]
  const context = promptLength + tokens + 64
  for (const one of [ours, theirs])
    await one.ask({ action: 'open', path, threads, context, sequences, install })
  const tasks = [
    {
      what: `prefill ${promptLength}`,
      units: promptLength,
      message: () => ({ action: 'prefill', prompts: [prompt(promptLength)] }),
    },
    ...crowds.map((count) => ({
      what: `decode × ${count}`,
      units: count * tokens,
      message: () => ({
        action: 'decode',
        tokens,
        prompts: Array.from({ length: count }, () => prompt(16)),
      }),
    })),
  ]
  for (const { what, units, message } of tasks) {
    const runs = []
    for (let pair = 0; pair <= pairs; pair++) {
      // Who goes first changes, so that drift hits both; the first pair only warms up.
      const order = pair % 2 ? [ours, theirs] : [theirs, ours]
      const asked = message()
      const seconds = new Map()
      for (const one of order) seconds.set(one, (await one.ask(asked)).seconds)
      if (pair > 0) runs.push([units / seconds.get(ours), units / seconds.get(theirs)])
    }
    const ratios = runs.map(([mine, other]) => mine / other)
    results.push({
      model: name,
      what,
      ratio: median(ratios),
      least: Math.min(...ratios),
      most: Math.max(...ratios),
      ours: median(runs.map(([mine]) => mine)),
      theirs: median(runs.map(([, other]) => other)),
    })
    const { ratio, least, most, ours: mine, theirs: other } = results.at(-1)
    process.stderr.write(
      `${name}  ${what}: ${ratio.toFixed(2)}x (${least.toFixed(2)}–${most.toFixed(2)}), ${mine.toFixed(1)} against ${other.toFixed(1)} tokens/s\n`
    )
  }
  ours.close()
  theirs.close()
}

const report = {
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model,
  threads,
  pairs,
  peer: PEER,
  results,
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
const cell = (n) => n.toFixed(2)
console.log(`| model | what | ours / llama.cpp | range | ours, tokens/s | llama.cpp, tokens/s |
|---|---|---|---|---|---|
${results
  .map(
    (r) =>
      `| ${r.model} | ${r.what} | ${cell(r.ratio)} | ${cell(r.least)}–${cell(r.most)} | ${r.ours.toFixed(1)} | ${r.theirs.toFixed(1)} |`
  )
  .join('\n')}`)
