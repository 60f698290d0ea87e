// Beam search over the real engine: the same continuations, in the same order, as transformers' own (5.23, f32, its
// early_stopping "never"; test/fixtures/beams.json), and what it does with ends and bounds.
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Running, serveFolder, tinyModel } from './tiny.ts'

interface Case {
  prompt: number[]
  width: number
  tokens: number[][]
  scores: number[] | null
}
const CASES = JSON.parse(
  readFileSync(new URL('../fixtures/beams.json', import.meta.url), 'utf8')
) as Case[]

const model = tinyModel()
let server: Running
beforeAll(async () => {
  const template = readFileSync(
    new URL('../fixtures/templates/seed-oss.v2.jinja', import.meta.url),
    'utf8'
  )
  server = await serveFolder(model.path, template, { dtype: 'float32' })
})
afterAll(async () => {
  await server.close()
  model.drop()
})

interface Answer {
  choices: {
    finish_reason: string
    stop_reason?: number
    token_ids: number[]
    message?: { content: string }
    logprobs: { token_logprobs: number[]; top_logprobs: object[] } | null
  }[]
  usage: { completion_tokens: number }
  error?: { message: string; param: string }
}

const ask = async (body: object, path = 'completions'): Promise<Answer> => {
  const response = await fetch(`${server.url}/v1/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', use_beam_search: true, return_token_ids: true, ...body }),
  })
  return (await response.json()) as Answer
}

test.each(CASES)('$width beams are those of transformers', async (one) => {
  const { prompt, width, tokens, scores } = one
  const max_tokens = tokens[0]!.length
  const asked = { prompt, n: width, max_tokens, ignore_eos: true, logprobs: 2 }
  const { choices, usage } = await ask(asked)
  expect(choices.map(({ token_ids }) => token_ids)).toEqual(tokens)
  expect(usage.completion_tokens).toBe(width * max_tokens)
  for (const [n, { logprobs, finish_reason }] of choices.entries()) {
    const { token_logprobs: each, top_logprobs: top } = logprobs!
    const mean = each.reduce((sum, score) => sum + score, 0) / max_tokens
    if (scores) expect(mean).toBeCloseTo(scores[n]!, 3)
    expect(top).toHaveLength(max_tokens)
    expect(finish_reason).toBe('length')
  }
  expect(server.engine.stats().pagesUsed).toBe(0)
})

test('the best of a wider search are shown, and several prompts are searched at once', async () => {
  const [, , four] = CASES as [Case, Case, Case]
  const { prompt, tokens } = four
  const body = { best_of: 4, n: 2, max_tokens: tokens[0]!.length, ignore_eos: true }
  const { choices } = await ask({ ...body, prompt: [prompt, prompt] })
  const best = tokens.slice(0, 2)
  expect(choices.map(({ token_ids }) => token_ids)).toEqual([...best, ...best])
})

test('an end is taken at its place, and sums or long answers are preferred as asked', async () => {
  const [, , four] = CASES as [Case, Case, Case]
  const { prompt, tokens } = four
  const stop = tokens[0]![2]!
  const body = { prompt, n: 4, max_tokens: 16, ignore_eos: true, stop_token_ids: [stop] }
  const sums = await ask({ ...body, length_penalty: 0 })
  const ended = sums.choices.find(({ finish_reason }) => finish_reason === 'stop')
  expect(ended?.token_ids.at(-1)).toBe(stop)
  expect(ended?.stop_reason).toBe(stop)
  const long = await ask({ ...body, length_penalty: 4 })
  const length = ({ choices }: Answer) => choices[0]!.token_ids.length
  expect(length(long)).toBeGreaterThan(length(sums))
})

test('chat takes it too, and names what cannot go with it', async () => {
  const chat = { messages: [{ role: 'user', content: 'abc' }], max_tokens: 6 }
  const { choices } = await ask({ ...chat, n: 3 }, 'chat/completions')
  expect(choices).toHaveLength(3)
  expect(new Set(choices.map(({ token_ids }) => token_ids.join())).size).toBe(3)
  for (const [field, value] of Object.entries({
    stream: true,
    temperature: 0.5,
    logit_bias: { 5: 1 },
    stop: 'x',
    prompt_logprobs: 1,
  })) {
    const { error } = await ask({ ...chat, [field]: value }, 'chat/completions')
    expect(error?.param).toBe(field)
  }
  const held = { ...chat, response_format: { type: 'json_object' } }
  expect((await ask(held, 'chat/completions')).error?.param).toBe('use_beam_search')
  const lone = await ask({ ...chat, use_beam_search: false, length_penalty: 2 }, 'chat/completions')
  expect(lone.error?.param).toBe('length_penalty')
})
