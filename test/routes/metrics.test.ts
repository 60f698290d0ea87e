// GET /metrics and /load: vLLM's names with the right numbers in a format that a strict reader takes.
import { expect, test } from 'vitest'
import { createApp } from '../../src/app.ts'
import { EngineRefusal } from '../../src/engine.ts'
import { exposition, Histogram } from '../../src/metrics.ts'
import { readExposition, valueOf } from '../exposition.ts'
import { ready, ScriptedEngine, silentLog, someSettings } from '../scripted.ts'
import { appOver } from './ask.ts'

type App = ReturnType<typeof appOver>['app']

const scrape = async (app: App) => {
  const response = await app.request('/metrics')
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return readExposition(await response.text())
}

test('a strict reader takes what is written, odd labels and all', () => {
  const odd = 'a\\b"c\nd'
  const histogram = new Histogram([0.5, 1, 20])
  for (const value of [0.5, 0.6, 7, 100]) histogram.observe(value)
  const read = readExposition(
    exposition([
      {
        name: 'x_total',
        type: 'counter',
        help: 'a\nb \\',
        samples: [{ labels: { odd }, value: 3 }],
      },
      { name: 'h', type: 'histogram', help: 'h', samples: [{ labels: { odd }, value: histogram }] },
      { name: 'none', type: 'gauge', help: 'no samples', samples: [] },
    ])
  )
  expect(valueOf(read, 'x_total', { odd })).toBe(3)
  const bucket = (le: string) => valueOf(read, 'h_bucket', { odd, le })
  expect(['0.5', '1.0', '20.0', '+Inf'].map(bucket)).toEqual([1, 2, 3, 4])
  expect(valueOf(read, 'h_sum')).toBeCloseTo(108.1)
})

test.each([
  ['x 1\n', /no type/],
  ['# HELP x x\n# TYPE x counter\nx 1\n', /_total/],
  ['# HELP x x\n# TYPE x gauge\nx{a="1} 1\n', /labels/],
  ['# HELP x x\n# TYPE x gauge\nx 1\nx 2\n', /twice/],
  ['# TYPE x gauge\nx 1\n', /no help/],
  [
    '# HELP h h\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_count 1\nh_sum 1\n',
    /fall/,
  ],
  [
    '# HELP h h\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_count 3\nh_sum 1\n',
    /count/,
  ],
  ['# HELP h h\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_count 1\nh_sum 1\n', /\+Inf/],
])('the reader refuses %j', (text, why) => {
  expect(() => readExposition(text)).toThrow(why)
})

const NAMES =
  `num_requests_running num_requests_waiting num_requests_waiting_by_reason kv_cache_usage_perc
  gpu_cache_usage_perc engine_sleep_state cache_config_info prefix_cache_queries_total prefix_cache_hits_total
  num_preemptions_total prompt_tokens_total prompt_tokens_cached_total prompt_tokens_by_source_total
  generation_tokens_total request_success_total admission_rejections_total spec_decode_num_drafts_total
  spec_decode_num_draft_tokens_total spec_decode_num_accepted_tokens_total
  spec_decode_num_accepted_tokens_per_pos_total time_to_first_token_seconds inter_token_latency_seconds
  time_per_output_token_seconds request_time_per_output_token_seconds e2e_request_latency_seconds
  request_queue_time_seconds request_inference_time_seconds request_prefill_time_seconds request_decode_time_seconds
  request_prompt_tokens request_generation_tokens iteration_tokens_total request_max_num_generation_tokens
  request_params_n request_params_max_tokens request_num_preemptions`.split(/\s+/)

test("all of vLLM's names are there, labelled by model and engine, before anything ran", async () => {
  const { app } = appOver({ steps: [] }, {}, { context: 4096 })
  const { types, samples } = await scrape(app)
  expect(NAMES.filter((name) => !types.has(`vllm:${name}`))).toEqual([])
  const ours = samples.filter(({ name }) => name.startsWith('vllm:'))
  const labels = ours.map(({ labels: { model_name, engine } }) => `${model_name} ${engine}`)
  expect([...new Set(labels)]).toEqual(['seed/toy 0'])
  const bounds = (name: string) =>
    ours.filter((one) => one.name === `vllm:${name}_bucket`).map((one) => one.labels.le)
  expect(bounds('request_prompt_tokens').slice(-4)).toEqual(['500.0', '1000.0', '2000.0', '+Inf'])
  expect(bounds('time_to_first_token_seconds').slice(0, 3)).toEqual(['0.001', '0.005', '0.01'])
})

test('requests are counted by their ends, choices as one request, cut ones as complete', async () => {
  const script = (_: string, nth: number) => ({
    steps: nth === 3 ? [{ fail: 'broken' } as const] : ['Hel', 'lo'],
    cachedTokens: 1,
  })
  const { app, chat } = appOver(script)
  await chat({ n: 2 })
  await chat({ max_tokens: 1 })
  await chat()
  const read = await scrape(app)
  const ends = (reason: string) =>
    valueOf(read, 'vllm:request_success_total', { finished_reason: reason })
  expect(['stop', 'length', 'abort', 'error'].map(ends)).toEqual([2, 1, 0, 1])
  expect(valueOf(read, 'vllm:request_params_n_count')).toBe(3)
  expect(valueOf(read, 'vllm:request_params_n_bucket', { le: '1.0' })).toBe(2)
  expect(valueOf(read, 'vllm:request_params_n_sum')).toBe(4)
  // H e l, l o, end: of two choices; one token; none.
  expect(valueOf(read, 'vllm:request_generation_tokens_sum')).toBe(13)
  expect(valueOf(read, 'vllm:request_max_num_generation_tokens_sum')).toBe(7)
  expect(valueOf(read, 'vllm:time_to_first_token_seconds_count')).toBe(3)
  expect(valueOf(read, 'vllm:inter_token_latency_seconds_count')).toBe(4)
  expect(valueOf(read, 'vllm:prompt_tokens_cached_total')).toBe(4)
  const prompts = valueOf(read, 'vllm:prompt_tokens_total')
  expect(valueOf(read, 'vllm:request_prompt_tokens_sum')).toBe(prompts)
  expect(
    valueOf(read, 'http_requests_total', { handler: '/v1/chat/completions', status: '2xx' })
  ).toBe(2)
})

test('what there is no room for is counted by why', async () => {
  const refuse = new EngineRefusal(429, 'rate_limit_exceeded', 'full')
  const { app, chat } = appOver({ steps: [{ refuse }] })
  expect((await chat()).status).toBe(429)
  const read = await scrape(app)
  const reason = { reason: 'rate_limit_exceeded' }
  expect(valueOf(read, 'vllm:admission_rejections_total', reason)).toBe(1)
  expect(valueOf(read, 'vllm:e2e_request_latency_seconds_count')).toBe(0)
})

test('two models are told apart, and one that loads has no figures yet', async () => {
  const one = ready(new ScriptedEngine({ steps: ['a'] }), ['one'])
  const two = ready(new ScriptedEngine({ steps: ['b'] }), ['two "quoted"\\'])
  const loading = { names: ['three'], phase: 'loading' as const, progress: 0, detail: '' }
  const app = createApp([one, two, loading], someSettings, silentLog)
  const body = JSON.stringify({ model: 'one', prompt: 'x', max_tokens: 3 })
  const headers = { 'content-type': 'application/json' }
  await (await app.request('/v1/completions', { method: 'POST', headers, body })).json()
  const read = await scrape(app)
  const count = (model_name: string) =>
    valueOf(read, 'vllm:request_success_total', { model_name, finished_reason: 'stop' })
  expect([count('one'), count('two "quoted"\\')]).toEqual([1, 0])
  expect(read.samples.some(({ labels }) => labels.model_name === 'three')).toBe(false)
})

test('/load counts requests until the last byte of their answers, streams that are left included', async () => {
  const { get, send } = appOver({ steps: ['a', { wait: 10_000 }, 'b'] })
  const load = async () => (await get('/load')).body.server_load as number
  const body = { stream: true, messages: [{ role: 'user', content: 'Hi' }] }
  const responses = [
    await send('/v1/chat/completions', body),
    await send('/v1/completions', { stream: true, prompt: 'x' }),
    await send('/v1/responses', { stream: true, input: 'x' }),
  ]
  expect(await load()).toBe(3)
  await responses[0]!.body!.cancel()
  await expect.poll(load).toBe(2)
  await Promise.all(responses.slice(1).map((one) => one.body!.cancel()))
  await expect.poll(load).toBe(0)
  await send('/v1/chat/completions', '{')
  expect(await load()).toBe(0)
})

test('paths that are no routes take one line however many there are', async () => {
  const { app } = appOver({ steps: [] })
  for (const path of ['/a', '/b', '/c']) await app.request(path)
  const { samples } = await scrape(app)
  const requests = samples.filter(({ name }) => name === 'http_requests_total')
  expect(requests.map(({ labels, value }) => ({ ...labels, value }))).toEqual([
    { handler: 'none', method: 'any', status: '4xx', value: 3 },
  ])
})

test('metrics want the key that others want', async () => {
  const { app, get } = appOver({ steps: [] }, { apiKeys: ['k'] })
  expect((await get('/metrics')).status).toBe(401)
  const headers = { authorization: 'Bearer k' }
  expect((await app.request('/metrics', { headers })).status).toBe(200)
})

test('tools that look for Ollama find the models, and a version that Codex and Copilot take', async () => {
  const { get } = appOver({ steps: [] })
  const { body } = await get('/api/tags')
  expect(body.models.map((one: { name: string }) => one.name)).toEqual(['seed/toy', 'toy'])
  expect(body.models[0].details.family).toBe('toy')
  const [, minor, patch] = ((await get('/api/version')).body.version as string)
    .split('.')
    .map(Number)
  expect(minor! * 100 + patch!).toBeGreaterThanOrEqual(1304)
})
