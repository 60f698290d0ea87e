// Measures what the TypeScript side costs per token: napi, parsing, JSON and SSE on the main thread, with real sockets.
import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
    client: { type: 'string' },
  },
})
const [streams, tokens, rounds] = [values.streams, values.tokens, values.rounds].map(Number)

/** Nanoseconds this process's main thread was on a CPU; the engine's threads do not count. */
const mainThread = () =>
  Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0])

/** One round of streams from another process, so that reading them costs this one nothing. */
const read = async (url) => {
  const body = JSON.stringify({
    messages: [{ role: 'user', content: 'Tell me a long story.' }],
    max_tokens: tokens,
    ignore_eos: true,
    stream: true,
  })
  const one = async () => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body })
    return (await answer.text()).split('\n\n').length
  }
  const frames = await Promise.all(Array.from({ length: streams }, one))
  process.send({ frames: frames.reduce((sum, count) => sum + count, 0) })
}

const median = (all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)]

const measure = async () => {
  const { createServer } = await import('../dist/index.js')
  const server = await createServer({ port: 0 })
  const [model] = await server.ready
  const figures = []
  for (let round = 0; round <= rounds; round += 1) {
    const before = model.engine.stats()
    const [begun, loops] = [mainThread(), performance.nodeTiming.uvMetricsInfo.loopCount]
    const asked = ['--client', server.url, '--streams', values.streams, '--tokens', values.tokens]
    const client = fork(fileURLToPath(import.meta.url), asked)
    const [{ frames }] = await once(client, 'message')
    const after = model.engine.stats()
    const generated = after.generatedTokens - before.generatedTokens
    // The first round warms up.
    if (round > 0)
      figures.push({
        microseconds: (mainThread() - begun) / 1000 / generated,
        turns:
          (performance.nodeTiming.uvMetricsInfo.loopCount - loops) / (after.steps - before.steps),
        framesPerToken: frames / generated,
      })
  }
  await server.close()
  const of = (key) => Number(median(figures.map((one) => one[key])).toFixed(2))
  return {
    streams,
    tokens,
    rounds,
    node: process.version,
    cpuMicrosecondsPerToken: of('microseconds'),
    loopTurnsPerStep: of('turns'),
    framesPerToken: of('framesPerToken'),
  }
}

if (values.client) await read(values.client)
else process.stdout.write(`${JSON.stringify(await measure(), null, 2)}\n`)
