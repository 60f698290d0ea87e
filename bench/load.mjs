// HTTP load with streaming clients against this server and any other OpenAI base URL, in turns: throughput, time to
// first token, time between tokens, CPU per token, memory.
//
// npm run bench:load -- --model FILE [--peer-url http://host:port/v1 [--peer-pid N]] [--clients 1,8,32] [--rounds 3]
//   [--requests 2] [--prompt-words 60] [--shared-words 0] [--tokens 48] [--threads 2] [--json FILE]
//
// Shared words begin every prompt, so that a prefix cache has something to find.
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    'peer-url': { type: 'string' },
    'peer-pid': { type: 'string' },
    clients: { type: 'string', default: '1,8,32' },
    rounds: { type: 'string', default: '3' },
    requests: { type: 'string', default: '2' },
    'prompt-words': { type: 'string', default: '60' },
    'shared-words': { type: 'string', default: '0' },
    tokens: { type: 'string', default: '48' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    json: { type: 'string' },
  },
})
const [rounds, requests, words, tokens] = ['rounds', 'requests', 'prompt-words', 'tokens'].map(
  (key) => Number(values[key])
)

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Starts this server and waits until it is ready; the time it took is part of the report. */
const startOurs = async () => {
  const port = await freePort()
  const started = performance.now()
  const cli = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
  const model = values.model ? ['--model', values.model] : []
  const child = spawn(
    process.execPath,
    [cli, 'serve', ...model, '--port', `${port}`, '--threads', values.threads],
    { stdio: ['ignore', 'ignore', 'inherit'] }
  )
  const url = `http://127.0.0.1:${port}`
  for (;;) {
    const ready = await fetch(`${url}/health`).catch(() => undefined)
    if (ready?.ok) break
    if (child.exitCode !== null) throw new Error('the server did not start')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const seconds = (performance.now() - started) / 1000
  return { name: 'ours', url: `${url}/v1`, pid: child.pid, seconds, close: () => child.kill() }
}

/** Seconds of CPU and bytes of resident memory, as Linux tells them; undefined where it is not known. */
const usage = (pid) => {
  if (!pid || process.platform !== 'linux') return undefined
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const peak = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, peak }
}

/** Words of three letters, by number. */
const wordsOf = (count, series) => {
  const letter = (n) => String.fromCharCode(97 + (n % 26))
  return Array.from({ length: count }, (_, n) => {
    const value = n * 7919 + series * 104729
    return letter(value) + letter(value >> 3) + letter(value >> 7)
  })
}

let fresh = 0
const shared = wordsOf(Number(values['shared-words']), 0)
/** New words each time, behind those that all have. */
const prompt = () => [...shared, ...wordsOf(words, ++fresh)].join(' ')

/** One streamed completion: when each piece came. */
const stream = async (url, model) => {
  const started = performance.now()
  const times = []
  const response = await fetch(`${url}/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      prompt: prompt(),
      max_tokens: tokens,
      temperature: 0,
      ignore_eos: true,
      stream: true,
    }),
  })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of response.body) {
    rest += decoder.decode(bytes, { stream: true })
    const frames = rest.split('\n\n')
    rest = frames.pop()
    const now = performance.now()
    for (const frame of frames)
      if (frame.startsWith('data: {') && frame.includes('"text"')) times.push(now)
  }
  return {
    first: times[0] - started,
    gaps: times.slice(1).map((t, n) => t - times[n]),
    count: tokens,
  }
}

const quantile = (list, q) => {
  const sorted = list.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]
}

const measure = async ({ url, pid, model }, clients) => {
  const before = usage(pid)
  const started = performance.now()
  const all = await Promise.all(
    Array.from({ length: clients }, async () => {
      const done = []
      for (let n = 0; n < requests; n++) done.push(await stream(url, model))
      return done
    })
  )
  const seconds = (performance.now() - started) / 1000
  const answers = all.flat()
  const made = answers.reduce((sum, { count }) => sum + count, 0)
  const gaps = answers.flatMap((answer) => answer.gaps)
  const after = usage(pid)
  return {
    rate: made / seconds,
    first: quantile(
      answers.map((answer) => answer.first),
      0.5
    ),
    p50: quantile(gaps, 0.5),
    p99: quantile(gaps, 0.99),
    cpu: before && after ? ((after.cpu - before.cpu) / made) * 1000 : undefined,
    peak: after?.peak,
  }
}

const sides = [await startOurs()]
const peer = values['peer-url']
if (peer) sides.push({ name: 'peer', url: peer, pid: Number(values['peer-pid'] ?? 0), close() {} })
for (const side of sides) {
  const listed = await (await fetch(`${side.url}/models`)).json()
  side.model = listed.data[0].id
  await stream(side.url, side.model)
}

const rows = []
for (const clients of values.clients.split(',').map(Number)) {
  const runs = sides.map(() => [])
  for (let round = 0; round < rounds; round++)
    for (const [n, side] of sides.entries()) runs[n].push(await measure(side, clients))
  for (const [n, side] of sides.entries()) {
    const of = (key) =>
      quantile(
        runs[n].map((run) => run[key]),
        0.5
      )
    const keys = ['rate', 'first', 'p50', 'p99', 'cpu', 'peak']
    rows.push({
      side: side.name,
      clients,
      ...Object.fromEntries(keys.map((key) => [key, of(key)])),
    })
  }
}
for (const side of sides) side.close()

const report = {
  date: new Date().toISOString().slice(0, 10),
  cpu: cpus()[0]?.model,
  ready: sides[0].seconds,
  rounds,
  tokens,
  rows,
}
if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
const fixed = (n, digits = 0) => (n === undefined || Number.isNaN(n) ? '–' : n.toFixed(digits))
console.log(`ready after ${fixed(report.ready, 2)} s

| side | clients | tokens/s | first token, ms | between tokens p50 / p99, ms | CPU ms a token | peak memory, MiB |
|---|---|---|---|---|---|---|
${rows
  .map(
    (r) =>
      `| ${r.side} | ${r.clients} | ${fixed(r.rate, 1)} | ${fixed(r.first)} | ${fixed(r.p50, 1)} / ${fixed(r.p99, 1)} | ${fixed(r.cpu, 1)} | ${fixed(r.peak / 2 ** 20)} |`
  )
  .join('\n')}`)
