// What a peer is not needed for: prefill at long contexts against 512 tokens, decode beside a busy process, and guessed against plain decode.
//
// npm run bench:own -- --model FILE [--contexts 512,8192,32768] [--rounds 5] [--tokens 64] [--threads 2] [--json FILE]
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    contexts: { type: 'string', default: '512,8192,32768' },
    rounds: { type: 'string', default: '5' },
    tokens: { type: 'string', default: '64' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    json: { type: 'string' },
    spin: { type: 'boolean' },
  },
})

if (values.spin) {
  // The busy neighbour: one core's worth of work until it is killed.
  for (;;);
}

const [rounds, tokens, threads] = ['rounds', 'tokens', 'threads'].map((key) => Number(values[key]))
const contexts = values.contexts.split(',').map(Number)

const ours = () => {
  const child = fork(new URL('./ours.mjs', import.meta.url), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ask = (message) =>
    new Promise((resolve, reject) => {
      child.once('message', (answer) =>
        answer.error ? reject(new Error(answer.error)) : resolve(answer)
      )
      child.send(message)
    })
  return { ask, close: () => child.kill() }
}

let fresh = 0
const prompt = (length) => {
  fresh += 1
  return Array.from({ length }, (_, n) => 20 + ((n * 7919 + fresh * 104729) % 900))
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

const open = async (context, guess = false) => {
  const side = ours()
  const path = values.model
  await side.ask({ action: 'open', path, threads, context, sequences: 1, guess })
  return side
}

const results = []
const report = (what, ratio, note) => {
  results.push({ what, ratio, note })
  process.stderr.write(`${what}: ${ratio.toFixed(2)}x (${note})\n`)
}

const long = await open(Math.max(...contexts) + 64)
const speed = async (length) =>
  length / (await long.ask({ action: 'prefill', prompts: [prompt(length)] })).seconds
await speed(512)
for (const length of contexts.slice(1)) {
  const pairs = []
  for (let n = 0; n < (length > 10_000 ? 1 : rounds); n++)
    pairs.push([await speed(length), await speed(contexts[0])])
  const rate = median(pairs.map(([there]) => there))
  report(
    `prefill of ${length} against ${contexts[0]}`,
    median(pairs.map(([there, here]) => there / here)),
    `${rate.toFixed(0)} tokens/s`
  )
}
long.close()

const plain = await open(2048)
const decode = async (side, made, bias = []) => {
  const asked = { action: 'decode', tokens: made, prompts: [prompt(16)], bias }
  const { seconds } = await side.ask(asked)
  return made / seconds
}
await decode(plain, 8)
const beside = []
for (let n = 0; n < rounds; n++) {
  const quiet = await decode(plain, tokens)
  const busy = fork(new URL(import.meta.url), ['--spin'])
  await new Promise((resolve) => setTimeout(resolve, 300))
  const shared = await decode(plain, tokens)
  busy.kill('SIGKILL')
  await new Promise((resolve) => setTimeout(resolve, 100))
  beside.push([shared / quiet, shared])
}
report(
  'decode beside a busy process',
  median(beside.map(([ratio]) => ratio)),
  `${median(beside.map(([, rate]) => rate)).toFixed(1)} tokens/s`
)

// What copies a text is guessed right nearly always: here one token over and over, whatever the weights say. Beside it
// what random weights write by themselves, which soon repeats.
const guessing = await open(2048, true)
for (const [what, bias] of [
  ['guessed decode of a copy against plain', [[100, 100]]],
  ['guessed decode of what repeats by itself against plain', []],
]) {
  const pairs = []
  for (let n = 0; n < rounds; n++) {
    const speeds = []
    for (const side of [plain, guessing]) {
      fresh = n * 100
      speeds.push(await decode(side, 4 * tokens, bias))
    }
    pairs.push(speeds[1] / speeds[0])
  }
  report(what, median(pairs), `${4 * tokens} tokens`)
}
plain.close()
guessing.close()

const all = {
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model,
  model: values.model,
  threads,
  rounds,
  results,
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(all, null, 2)}\n`)
