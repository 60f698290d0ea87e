// GET /metrics over the real engine: its own counters and timings arrive under vLLM's names.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readExposition, valueOf } from '../exposition.ts'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

const TEMPLATE = readFileSync(
  new URL('../fixtures/templates/seed-oss.v2.jinja', import.meta.url),
  'utf8'
)
const model = tinyModel()
let server: Running
beforeAll(async () => {
  server = await serveFolder(model.path, TEMPLATE)
})
afterAll(async () => {
  await server.close()
  model.drop()
})

const scrape = async () => readExposition(await (await fetch(`${server.url}/metrics`)).text())

test('tokens, caches, guesses, steps and timings add up', async () => {
  const prompt = 'abc'.repeat(16)
  const ask = () =>
    server.client.completions.create({
      model: 'tiny',
      prompt,
      max_tokens: 40,
      temperature: 0,
      logit_bias: { '100': 100 },
    })
  const first = await ask()
  const second = await ask()
  const read = await scrape()
  const value = (name: string, labels?: object) => valueOf(read, `vllm:${name}`, labels)
  const cached = second.usage?.prompt_tokens_details?.cached_tokens ?? 0
  expect(cached).toBeGreaterThan(0)
  expect(value('prompt_tokens_total')).toBe(2 * (first.usage?.prompt_tokens ?? 0))
  expect(value('prompt_tokens_cached_total')).toBe(cached)
  expect(value('prefix_cache_hits_total')).toBe(cached)
  expect(value('prefix_cache_queries_total')).toBeGreaterThan(cached)
  expect(value('generation_tokens_total')).toBe(80)
  expect(value('request_success_total', { finished_reason: 'length' })).toBe(2)
  // The same token over and over is guessed.
  expect(value('spec_decode_num_drafts_total')).toBeGreaterThan(0)
  const accepted = value('spec_decode_num_accepted_tokens_total')
  expect(accepted).toBeGreaterThan(0)
  expect(accepted).toBeLessThanOrEqual(value('spec_decode_num_draft_tokens_total'))
  const positions = read.samples.filter(
    ({ name }) => name === 'vllm:spec_decode_num_accepted_tokens_per_pos_total'
  )
  expect(positions.reduce((sum, one) => sum + one.value, 0)).toBe(accepted)
  expect(value('iteration_tokens_total_count')).toBe(server.engine.stats().steps)
  expect(value('iteration_tokens_total_sum')).toBeGreaterThanOrEqual(
    value('prompt_tokens_total') - cached
  )
  // Queueing, prefill and decoding are parts of the whole, told by different clocks.
  const seconds = (name: string) => value(`${name}_sum`)
  expect(value('request_queue_time_seconds_count')).toBe(2)
  expect(seconds('request_prefill_time_seconds')).toBeGreaterThan(0)
  expect(seconds('request_decode_time_seconds')).toBeGreaterThan(0)
  expect(seconds('request_inference_time_seconds')).toBeCloseTo(
    seconds('request_prefill_time_seconds') + seconds('request_decode_time_seconds'),
    9
  )
  expect(
    seconds('request_queue_time_seconds') + seconds('request_inference_time_seconds')
  ).toBeLessThan(seconds('e2e_request_latency_seconds'))
  expect(value('kv_cache_usage_perc')).toBe(0)
  const config = read.samples.find(({ name }) => name === 'vllm:cache_config_info')
  expect(config?.labels).toMatchObject({
    block_size: '16',
    num_gpu_blocks: String(server.engine.stats().pagesTotal),
  })
})

test('a client that leaves is an abort, and what runs shows while it runs', async () => {
  const leaving = new AbortController()
  const stream = await server.client.completions.create(
    { model: 'tiny', prompt: 'x', max_tokens: 400, n: 32, stream: true, ignore_eos: true } as never,
    { signal: leaving.signal }
  )
  const chunks = (stream as unknown as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  await chunks.next()
  const during = await scrape()
  expect(valueOf(during, 'vllm:num_requests_running')).toBeGreaterThan(0)
  expect(valueOf(during, 'vllm:kv_cache_usage_perc')).toBeGreaterThan(0)
  leaving.abort()
  const before = valueOf(during, 'vllm:request_success_total', { finished_reason: 'length' })
  const endings = async () => {
    const read = await scrape()
    const count = (finished_reason: string) =>
      valueOf(read, 'vllm:request_success_total', { finished_reason })
    return { aborted: count('abort') > 0, all: count('abort') + count('length') - before }
  }
  await expect.poll(endings).toEqual({ aborted: true, all: 32 })
})
